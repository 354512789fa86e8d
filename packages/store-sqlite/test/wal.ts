import { readFileSync } from "node:fs";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const PAGE_SIZE_OFFSET = 8;
const SALT_OFFSET = 16;

/**
 * Counts the transactions in the write-ahead log of a database: each ends in a frame that carries
 * the size of the database (https://sqlite.org/fileformat2.html#the_write_ahead_log). Good for a
 * test's few pages, as long as no checkpoint starts the log anew.
 */
export function commitsIn(path: string): number {
  const wal = readFileSync(`${path}-wal`);
  if (wal.length < HEADER_BYTES) return 0;
  const frameBytes = FRAME_HEADER_BYTES + wal.readUInt32BE(PAGE_SIZE_OFFSET);
  const salts = wal.subarray(SALT_OFFSET, SALT_OFFSET + 8);
  let commits = 0;
  for (let at = HEADER_BYTES; at + frameBytes <= wal.length; at += frameBytes) {
    // Frames of an older log, from before it was started anew, have other salts.
    const isCurrent = wal.subarray(at + 8, at + 16).equals(salts);
    if (isCurrent && wal.readUInt32BE(at + 4) > 0) commits += 1;
  }
  return commits;
}
