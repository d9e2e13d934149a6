/**
 * The options of a UDP socket, read as Bun reads them: what it takes, what it throws, what it does not look at.
 */
import { argumentError } from "./errors.ts";

/** What data comes as. */
export type BinaryType = "buffer" | "uint8array" | "arraybuffer";

type Handler = (...given: unknown[]) => unknown;

/** A socket's functions; what was not given stays as it was. */
export interface Handlers {
  readonly data?: Handler;
  readonly drain?: Handler;
  readonly error?: Handler;
}

/** Options with nothing left open. */
export interface Config {
  readonly hostname: string;
  readonly port: number;
  readonly connect: { readonly hostname: string; readonly port: number } | undefined;
  /** Undefined without handlers: Bun does not look at it then. */
  readonly binaryType: BinaryType | undefined;
  readonly handlers: Handlers;
}

const EVERY_ADDRESS = "0.0.0.0";
const MAX_PORT = 65_535;
const BINARY_TYPES: readonly string[] = ["arraybuffer", "uint8array", "buffer"] satisfies BinaryType[];
const HANDLERS = ["data", "drain", "error"] as const satisfies (keyof Handlers)[];

type Given = Readonly<Record<string, unknown>>;

/** Reads what `udpSocket` was given. Throws a TypeError with Bun's text. */
export const readConfig = (options: unknown): Config => {
  if (!isObject(options)) throw argumentError("Expected an object");
  const { hostname, port, connect, socket } = options;
  return {
    hostname: readHostname(hostname),
    port: port == null ? 0 : readPort("port", port, 0),
    ...readSocket(socket, options["binaryType"]),
    connect: readConnect(connect),
  };
};

/**
 * Reads what `reload` was given. Bun 1.4.5 takes `{ socket: handlers }`, in contradiction to its own types, and does nothing
 * with bare handlers; here both forms work.
 */
export const readReload = (given: unknown): Config => {
  if (!isObject(given)) throw argumentError("Expected an object");
  const bare = given["socket"] === undefined && HANDLERS.some((name) => given[name] !== undefined);
  return readConfig(bare ? { socket: given, binaryType: given["binaryType"] } : given);
};

/** A port that is sent to, also as a text of digits. */
export const readPort = (name: string, value: unknown, least: 0 | 1): number => {
  const port = Number(value);
  if (Number.isInteger(port) && port >= least && port <= MAX_PORT) return port;
  throw argumentError(`Expected "${name}" to be an integer between ${least} and ${MAX_PORT}`);
};

const isObject = (value: unknown): value is Given =>
  (typeof value === "object" && value !== null) || typeof value === "function";

const readHostname = (value: unknown): string => {
  if (value == null || value === "") return EVERY_ADDRESS;
  if (typeof value !== "string") throw argumentError('Expected "hostname" to be a string');
  return value;
};

const readConnect = (value: unknown): Config["connect"] => {
  if (value == null) return undefined;
  if (!isObject(value)) throw argumentError('Expected "connect" to be an object');
  const { hostname, port } = value;
  if (typeof hostname !== "string") throw argumentError('Expected "connect.hostname" to be a string');
  if (port == null) throw argumentError('Expected "connect.port" to be an integer');
  return { hostname, port: readPort("connect.port", port, 1) };
};

const readSocket = (socket: unknown, binaryType: unknown): Pick<Config, "handlers" | "binaryType"> => {
  if (socket == null) return { handlers: {}, binaryType: undefined };
  if (!isObject(socket)) throw argumentError('Expected "socket" to be an object');
  const handlers: Record<string, Handler> = {};
  for (const name of HANDLERS) {
    const value = socket[name];
    if (value == null) continue;
    if (typeof value !== "function") throw argumentError(`Expected "socket.${name}" to be a function`);
    handlers[name] = value as Handler;
  }
  return { handlers, binaryType: readBinaryType(binaryType) };
};

const readBinaryType = (value: unknown): BinaryType => {
  if (value == null) return "buffer";
  if (typeof value !== "string") throw argumentError('Expected "socket.binaryType" to be a string');
  const name = value.toLowerCase();
  if (BINARY_TYPES.includes(name)) return name as BinaryType;
  throw argumentError(`Expected "socket.binaryType" to be 'arraybuffer', 'uint8array', or 'buffer'`);
};
