/**
 * The options of neighbour discovery read into records.
 */
import { IPV6_BYTES, IpAddress } from "./address.ts";
import { readBytes, writeBytes } from "./fields.ts";
import { MacAddress } from "./mac.ts";
import { readNames } from "./names.ts";
import * as format from "./ndp-option-format.ts";

/** The options that `areWhole` found whole. One of known type but wrong form is left out: it says nothing. */
export const parseOptions = (view: DataView, at: number, end: number): format.NdpOption[] => {
  const options: format.NdpOption[] = [];
  while (at < end) {
    const bytes = format.optionBytes(view, at, end);
    const option = parseOption(view, at, bytes);
    if (option !== undefined) options.push(option);
    at += bytes;
  }
  return options;
};

const parseOption = (view: DataView, at: number, bytes: number): format.NdpOption | undefined => {
  const type = view.getUint8(at + format.OPTION_TYPE);
  switch (type) {
    case format.OPTION.SOURCE_LINK_LAYER:
    case format.OPTION.TARGET_LINK_LAYER:
      if (bytes !== format.LINK_LAYER_BYTES) return undefined;
      return {
        kind: type === format.OPTION.SOURCE_LINK_LAYER ? "source-link-layer" : "target-link-layer",
        mac: MacAddress.read(view, at + format.OPTION_DATA),
      };
    case format.OPTION.PREFIX_INFORMATION:
      return bytes === format.PREFIX_BYTES ? parsePrefix(view, at) : undefined;
    case format.OPTION.REDIRECTED_HEADER:
      return {
        kind: "redirected-header",
        packet: readBytes(view, at + format.REDIRECTED, bytes - format.REDIRECTED),
      };
    case format.OPTION.MTU:
      return bytes === format.MTU_BYTES ? { kind: "mtu", mtu: view.getUint32(at + format.MTU) } : undefined;
    case format.OPTION.NONCE:
      return { kind: "nonce", nonce: readBytes(view, at + format.OPTION_DATA, bytes - format.OPTION_DATA) };
    case format.OPTION.ROUTE_INFORMATION:
      return parseRoute(view, at, bytes);
    case format.OPTION.RDNSS:
      return parseServers(view, at, bytes);
    case format.OPTION.DNSSL: {
      const domains = readNames(view, at + format.DNS_DATA, at + bytes);
      if (domains === undefined || domains.length === 0) return undefined;
      return { kind: "dnssl", lifetimeSeconds: view.getUint32(at + format.DNS_LIFETIME), domains };
    }
    default:
      return {
        kind: "other",
        type,
        data: readBytes(view, at + format.OPTION_DATA, bytes - format.OPTION_DATA),
      };
  }
};

const parsePrefix = (view: DataView, at: number): format.PrefixInformation | undefined => {
  const prefixLength = view.getUint8(at + format.PREFIX_LENGTH);
  const prefix = IpAddress.read6(view, at + format.PREFIX);
  if (prefixLength > format.MAX_PREFIX_LENGTH || prefix.family !== 6) return undefined;
  const flags = view.getUint8(at + format.PREFIX_FLAGS);
  return {
    kind: "prefix-information",
    prefix,
    prefixLength,
    onLink: (flags & format.ON_LINK) !== 0,
    autonomous: (flags & format.AUTONOMOUS) !== 0,
    validSeconds: view.getUint32(at + format.VALID),
    preferredSeconds: view.getUint32(at + format.PREFERRED),
  };
};

const parseRoute = (view: DataView, at: number, bytes: number): format.RouteInformation | undefined => {
  const prefixLength = view.getUint8(at + format.ROUTE_LENGTH);
  const present = bytes - format.ROUTE_PREFIX;
  if (
    prefixLength > format.MAX_PREFIX_LENGTH ||
    present < format.routePrefixBytes(prefixLength) ||
    present > IPV6_BYTES
  )
    return undefined;
  // Only what the length needs is read, so that the record says no more than its option.
  const whole = new DataView(new ArrayBuffer(IPV6_BYTES));
  writeBytes(whole, 0, readBytes(view, at + format.ROUTE_PREFIX, format.routePrefixBytes(prefixLength)));
  const prefix = IpAddress.read6(whole, 0);
  const preference = format.preferenceOf(view.getUint8(at + format.ROUTE_FLAGS));
  // A reserved preference makes the option one to be ignored (RFC 4191 section 2.3).
  if (prefix.family !== 6 || preference === undefined) return undefined;
  const lifetimeSeconds = view.getUint32(at + format.ROUTE_LIFETIME);
  return { kind: "route-information", prefix, prefixLength, preference, lifetimeSeconds };
};

const parseServers = (view: DataView, at: number, bytes: number): format.DnsServers | undefined => {
  const count = (bytes - format.DNS_DATA) / IPV6_BYTES;
  if (count < 1 || !Number.isInteger(count)) return undefined;
  const servers = Array.from({ length: count }, (_, i) =>
    IpAddress.read6(view, at + format.DNS_DATA + i * IPV6_BYTES),
  );
  if (servers.some(({ family }) => family !== 6)) return undefined;
  return { kind: "rdnss", lifetimeSeconds: view.getUint32(at + format.DNS_LIFETIME), servers };
};
