/**
 * Backends, services and checks as a command line or a file has them.
 */
import { IpAddress, MacAddress } from "millrace/wire";
import { UsageError, wholeNumber } from "../support/program.ts";

/** A backend as somebody wants it. */
export interface Wanted {
  readonly address: string;
  readonly mac: string | undefined;
  readonly weight: number;
  readonly drain: boolean;
}

export interface WantedService {
  readonly protocol: "udp" | "tcp";
  readonly port: number;
}

/** How to find out whether a backend lives. */
export interface WantedCheck {
  readonly kind: "none" | "ping" | "udp" | "tcp";
  /** 0 where none is asked. */
  readonly port: number;
}

const MAX_PORT = 65_535;
const MAX_WEIGHT = 1000;

/** "10.0.0.1", with "weight=2", "mac=02:00:00:00:00:01" and "drain" behind it where they are wanted, in any order. */
export const readBackend = (text: string): Wanted => {
  const [address = "", ...words] = text.trim().split(/[\s,]+/);
  if (IpAddress.tryParse(address) === undefined)
    throw new UsageError(`a backend is an IP address with words behind it, not ${JSON.stringify(text)}`);
  let wanted: Wanted = { address, mac: undefined, weight: 1, drain: false };
  for (const word of words) {
    const [key, value = ""] = word.split("=", 2);
    if (word === "drain") wanted = { ...wanted, drain: true };
    else if (key === "weight")
      wanted = { ...wanted, weight: wholeNumber(`weight of ${address}`, value, 0, MAX_WEIGHT) };
    else if (key === "mac" && MacAddress.tryParse(value) !== undefined) wanted = { ...wanted, mac: value };
    else
      throw new UsageError(`backend ${address} has weight=N, mac=M and drain, not ${JSON.stringify(word)}`);
  }
  return wanted;
};

/** A backend a line; what follows a # is a comment. */
export const readBackends = (text: string): Wanted[] => {
  const lines = text.split("\n").map((line) => line.replace(/#.*/, "").trim());
  const wanted = lines.filter((line) => line !== "").map(readBackend);
  const twice = wanted.find(({ address }, i) => wanted.findIndex((other) => other.address === address) !== i);
  if (twice !== undefined) throw new UsageError(`backend ${twice.address} is named twice`);
  return wanted;
};

/** "tcp/80". */
export const readService = (text: string): WantedService => {
  const [protocol, port = ""] = text.split("/", 2);
  if (protocol !== "udp" && protocol !== "tcp")
    throw new UsageError(`--service is udp/PORT or tcp/PORT, not ${JSON.stringify(text)}`);
  return { protocol, port: wholeNumber("the port of --service", port, 1, MAX_PORT) };
};

/** "ping", "none", "udp/53", "tcp/80". */
export const readCheck = (text: string): WantedCheck => {
  if (text === "ping" || text === "none") return { kind: text, port: 0 };
  const [kind, port = ""] = text.split("/", 2);
  if (kind !== "udp" && kind !== "tcp")
    throw new UsageError(`--check is ping, udp/PORT, tcp/PORT or none, not ${JSON.stringify(text)}`);
  return { kind, port: wholeNumber("the port of --check", port, 1, MAX_PORT) };
};
