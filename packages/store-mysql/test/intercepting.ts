import type { Pool } from "mysql2/promise";
import type { MysqlConnection, MysqlPool } from "../src/index.ts";

type Options = Parameters<MysqlConnection["execute"]>[0];

/**
 * A pool that is handed each statement before it is sent, with the connection, and may send another.
 *
 * @param changeRows gets the rows that come back, and may return others
 */
export function intercepting(
  pool: Pool,
  change: (sql: string, connection: Awaited<ReturnType<Pool["getConnection"]>>) => unknown,
  changeRows: (rows: readonly unknown[]) => readonly unknown[] = (rows) => rows,
): MysqlPool {
  const made = {
    getConnection: async () => {
      const connection = await pool.getConnection();
      return {
        threadId: connection.threadId,
        execute: async (options: Options) => {
          const sql = (await change(options.sql, connection)) ?? options.sql;
          const [result, ...others] = await connection.execute({ ...options, sql } as never);
          return [Array.isArray(result) ? changeRows(result) : result, ...others];
        },
        query: (sql: string) => connection.query(sql),
        release: () => connection.release(),
        destroy: () => connection.destroy(),
      };
    },
    execute: () => undefined,
    end: () => pool.end(),
  };
  return made;
}
