/**
 * Neighbour discovery printed.
 */
import * as ndp from "../ndp.ts";
import { hexBytes, type Line } from "./line.ts";

/** Prints a message of ICMPv6 that is neighbour discovery's. */
export const printNdp = (line: Line, view: DataView, at: number, end: number): void => {
  const record = ndp.parse(view, at, end - at);
  if (record === undefined) {
    line.add(" ").cut("ndp");
    return;
  }
  line.add(`, ${record.kind.replace("-", " ")}`);
  switch (record.kind) {
    case "router-solicitation":
      break;
    case "router-advertisement":
      printAdvertisement(line, record);
      break;
    case "neighbour-solicitation":
      line.add(`, who has ${record.target}`);
      break;
    case "neighbour-advertisement":
      line.add(`, target ${record.target}`);
      line.bracketed((["router", "solicited", "override"] as const).filter((flag) => record[flag]));
      break;
    default:
      line.add(`, ${record.destination} to ${record.target}`);
  }
  for (const option of record.options) {
    if (line.full) return;
    line.add(`, ${optionText(option)}`);
  }
};

const printAdvertisement = (line: Line, record: ndp.RouterAdvertisement): void => {
  line.add(`, hop limit ${record.hopLimit}`);
  const flags = [record.managed ? "managed" : "", record.otherConfiguration ? "other" : ""];
  line.bracketed(flags.filter((flag) => flag !== ""));
  line.add(`, preference ${record.preference}, lifetime ${record.lifetimeSeconds} s`);
  if (record.reachableMs !== 0) line.add(`, reachable ${record.reachableMs} ms`);
  if (record.retransMs !== 0) line.add(`, retrans ${record.retransMs} ms`);
};

const seconds = (value: number): string => (value === ndp.INFINITE_SECONDS ? "for ever" : `${value} s`);

const optionText = (option: ndp.NdpOption): string => {
  switch (option.kind) {
    case "source-link-layer":
      return `source ${option.mac}`;
    case "target-link-layer":
      return `target ${option.mac}`;
    case "prefix-information": {
      const flags = `${option.onLink ? " on-link" : ""}${option.autonomous ? " autonomous" : ""}`;
      const times = `valid ${seconds(option.validSeconds)} preferred ${seconds(option.preferredSeconds)}`;
      return `prefix ${option.prefix}/${option.prefixLength}${flags} ${times}`;
    }
    case "redirected-header":
      return `redirected ${option.packet.length} bytes`;
    case "mtu":
      return `mtu ${option.mtu}`;
    case "nonce":
      return `nonce ${hexBytes(option.nonce)}`;
    case "route-information": {
      const { prefix, prefixLength, preference, lifetimeSeconds } = option;
      return `route ${prefix}/${prefixLength} preference ${preference} ${seconds(lifetimeSeconds)}`;
    }
    case "rdnss":
      return `dns ${option.servers.join(" ")} ${seconds(option.lifetimeSeconds)}`;
    case "dnssl":
      return `search ${option.domains.join(" ")} ${seconds(option.lifetimeSeconds)}`;
    default:
      return `option ${option.type} ${hexBytes(option.data)}`;
  }
};
