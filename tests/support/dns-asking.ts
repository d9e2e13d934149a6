/**
 * Questions for the name server's responder in memory that is watched, and its answers as dns-packet reads them.
 */
import { expect } from "bun:test";
import { compileZone } from "../../examples/dns/compile.ts";
import { Responder, ROOM_BYTES } from "../../examples/dns/responder.ts";
import { Zone } from "../../examples/dns/zone.ts";
import { parseZoneFile } from "../../examples/dns/zone-file.ts";
import { checkForm, decode, nameBytes, query, type QueryOptions } from "./dns-message.ts";
import { fullName, TEST_ZONE } from "./dns-zone.ts";

export const zone = new Zone(parseZoneFile(TEST_ZONE));
export const compiled = compileZone(zone);
const AT = 101;
export const POISON = 0xa5;
export const UDP_BYTES = 1232;

/** The answer to any bytes; undefined where there is none. Nothing may be written outside of the room that was given. */
export const say = (message: Uint8Array, responder = new Responder(compiled)): Uint8Array | undefined => {
  const area = new Uint8Array(AT + Math.max(ROOM_BYTES, message.length) + AT).fill(POISON);
  area.set(message, AT);
  const length = responder.respond(new DataView(area.buffer), AT, message.length);
  const outside = [...area.subarray(0, AT), ...area.subarray(AT + Math.max(ROOM_BYTES, message.length))];
  expect(outside.every((byte) => byte === POISON)).toBe(true);
  if (length === 0) return undefined;
  const answer = area.slice(AT, AT + length);
  checkForm(answer);
  return answer;
};

/** What is said to a question about a name of the zone's; records as "name ttl type data". */
export const ask = (name: string, type: number, options: QueryOptions = {}) => {
  const asked = query(fullName(name), type, options);
  const answer = say(asked)!;
  const packet = decode(answer);
  // The question comes back as it was, in the case that it was asked in.
  expect(answer.subarray(12, 12 + nameBytes(fullName(name)).length + 4)).toEqual(
    asked.subarray(12, 12 + nameBytes(fullName(name)).length + 4),
  );
  const texts = (records: typeof packet.answers): string[] =>
    records
      .filter((record) => record.type !== "OPT")
      .map((record) => `${record.name} ${record.ttl} ${record.type} ${text(record.data)}`);
  return {
    packet,
    length: answer.length,
    rcode: packet.rcode,
    aa: packet.flag_aa,
    answer: texts(packet.answers),
    authority: texts(packet.authorities),
    additional: texts(packet.additionals),
  };
};

const text = (value: unknown): string => {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((each) => `"${String(each)}"`).join(" ");
  if (Buffer.isBuffer(value)) return value.toString("hex");
  return Object.values(value as object)
    .map(String)
    .join(" ");
};
