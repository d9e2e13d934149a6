/**
 * A server program of somebody else's in a bed: in the foreground, with all that it says kept, until it is ended.
 */
import { type Side, until } from "./lab.ts";
import { PATIENCE_MS, type ServedBed } from "./served-bed.ts";

export interface Daemon {
  readonly process: ReturnType<ServedBed["lab"]["spawn"]>;
  /** What it wrote to its standard output so far. */
  printed(): string;
  /** All that it has said so far. */
  said(): string;
}

const collect = (stream: ReadableStream<Uint8Array>): (() => string) => {
  const decoder = new TextDecoder();
  let text = "";
  void (async () => {
    for await (const part of stream) text += decoder.decode(part, { stream: true });
  })();
  return () => text;
};

/** Starts a program and waits until `ready` takes what it says, or the state of the world. Throws where it ends before. */
export const startDaemon = async (
  bed: Pick<ServedBed, "lab">,
  side: Side,
  words: readonly string[],
  ready: (said: string) => boolean,
): Promise<Daemon> => {
  const process = bed.lab.spawn(side, words);
  const [printed, errors] = [collect(process.stdout), collect(process.stderr)];
  const said = (): string => printed() + errors();
  await until(
    `${words[0]} to start`,
    () => {
      if (process.exitCode !== null) throw new Error(`${words[0]} ended: ${said()}`);
      return ready(said());
    },
    PATIENCE_MS,
  );
  return { process, printed, said };
};

/** Ends it as its operator would, or without a chance to say anything more, and waits for it. */
export const end = async (
  { process }: Pick<Daemon, "process">,
  signal: "SIGTERM" | "SIGKILL" = "SIGTERM",
): Promise<void> => {
  process.kill(signal);
  await process.exited;
};
