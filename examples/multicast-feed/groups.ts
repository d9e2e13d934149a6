/**
 * The groups of a feed on the command line: one for each interface.
 */
import { IpAddress } from "millrace/wire";
import { UsageError, wholeNumber } from "../support/program.ts";

export interface Side {
  readonly group: string;
  readonly port: number;
  readonly interface: string;
}

/** Of the organisation-local scope (RFC 2365). */
const DEFAULT_GROUPS = ["239.77.0.1:9100", "239.77.0.2:9100"];
const MAX_PORT = 65_535;

/** "239.77.0.1:9100" or "[ff15::77]:9100" for each interface; what is left out is the default's. */
export const readSides = (given: readonly string[], interfaces: readonly string[]): Side[] => {
  if (given.length > interfaces.length)
    throw new UsageError(`one --group for each interface at most: ${interfaces.length}, not ${given.length}`);
  return interfaces.map((name, i) => {
    const text = given[i] ?? DEFAULT_GROUPS[i]!;
    const [, bracketed, plain, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
    const group = IpAddress.tryParse(bracketed ?? plain ?? "");
    if (group?.multicast !== true)
      throw new UsageError(`--group is GROUP:PORT such as 239.77.0.1:9100, not ${JSON.stringify(text)}`);
    return {
      group: group.toString(),
      port: wholeNumber("--group's port", port!, 1, MAX_PORT),
      interface: name,
    };
  });
};
