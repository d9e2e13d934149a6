/**
 * A capture over several files of limited size, the oldest of which is overwritten.
 *
 * With one file and no size it is a plain file. Each file of a ring is a whole pcapng by itself.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { type Direction, type Frame, PcapngWriter } from "millrace";

const MS_PER_S = 1000;
const NS_PER_MS = 1e6;

export interface RingFileOptions {
  /** With several files a number goes in front of the extension: "a.pcapng" becomes "a-0.pcapng". */
  readonly path: string;
  readonly files: number;
  /** A file that has grown to this is followed by the next. Infinity for no limit. */
  readonly maxBytes: number;
  readonly snapLength: number;
  /** What is described at the top of each file; packets name them by position. */
  readonly interfaces: readonly { readonly name: string; readonly mac: Uint8Array }[];
}

export class RingFile {
  readonly #options: RingFileOptions;
  #writer: PcapngWriter;
  #fd = -1;
  #opened = 0;
  #packets = 0;
  #bytes = 0;

  /** Opens the first file. */
  constructor(options: RingFileOptions) {
    this.#options = options;
    this.#writer = this.#next();
  }

  /** Packets written, over all files. */
  get packets(): number {
    return this.#packets;
  }

  /** Bytes written, over all files, also those overwritten since. */
  get bytes(): number {
    return this.#bytes + this.#writer.fileBytes;
  }

  /** Files begun so far. */
  get opened(): number {
    return this.#opened;
  }

  /** What ended the writing (a full disk), undefined while all is well. */
  get failure(): unknown {
    return this.#writer.failure;
  }

  /** Writes a frame that passed interface `id` at `timeMs` of the process's monotonic clock. */
  write(id: number, timeMs: number, direction: Direction, frame: Frame): void {
    const { maxBytes } = this.#options;
    if (this.#writer.fileBytes >= maxBytes) this.#rotate(timeMs);
    const writer = this.#writer;
    if (!writer.begin(id, timeMs, direction, frame.length)) return;
    for (let i = 0; i < frame.chunks; i++) writer.append(frame.bytes, frame.chunkAt(i), frame.chunkLength(i));
    writer.end();
    this.#packets += 1;
  }

  /** Hands what is buffered to the file system, so that a reader sees it. */
  flush(): void {
    this.#writer.flush();
  }

  /** Notes in the file's statistics what interface `id` lost. */
  setDropped(id: number, dropped: number): void {
    this.#writer.setDropped(id, dropped);
  }

  /** Ends the last file. Idempotent. */
  close(timeMs: number): void {
    this.#writer.close(timeMs);
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #rotate(timeMs: number): void {
    this.close(timeMs);
    this.#bytes += this.#writer.fileBytes;
    this.#writer = this.#next();
  }

  #next(): PcapngWriter {
    const { path, files, interfaces, snapLength } = this.#options;
    this.#fd = openSync(files === 1 ? path : numbered(path, this.#opened % files), "w");
    this.#opened += 1;
    // The file descriptor of this writer, also when its last bytes come late.
    const fd = this.#fd;
    const sink = (bytes: Uint8Array): void => {
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    };
    // The monotonic clock counts from the start of the process.
    const startMs = performance.timeOrigin;
    const seconds = Math.floor(startMs / MS_PER_S);
    const nanoseconds = Math.round((startMs - seconds * MS_PER_S) * NS_PER_MS);
    const writer = new PcapngWriter({ sink, snapLength, epoch: { seconds, nanoseconds } });
    for (const described of interfaces) writer.addInterface(described);
    return writer;
  }
}

/** "dir/a.pcapng" and 3 give "dir/a-3.pcapng". */
export const numbered = (path: string, number: number): string => {
  const extension = extname(path);
  return join(dirname(path), `${basename(path, extension)}-${number}${extension}`);
};
