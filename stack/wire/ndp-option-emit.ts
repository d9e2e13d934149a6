/**
 * The options of neighbour discovery written from records.
 */
import { IPV6_BYTES } from "./address.ts";
import { MAX_UINT16, MAX_UINT32, MAX_UINT8, need, requireInteger, writeBytes, writeZeros } from "./fields.ts";
import { namesLength, writeNames } from "./names.ts";
import * as format from "./ndp-option-format.ts";

const roundUp = (bytes: number): number => Math.ceil(bytes / format.UNIT_BYTES) * format.UNIT_BYTES;

/** Bytes of one option with its padding. */
export const lengthOfOption = (option: format.NdpOption): number => {
  switch (option.kind) {
    case "source-link-layer":
    case "target-link-layer":
      return format.LINK_LAYER_BYTES;
    case "prefix-information":
      return format.PREFIX_BYTES;
    case "redirected-header":
      return format.REDIRECTED + option.packet.length;
    case "mtu":
      return format.MTU_BYTES;
    case "nonce":
      return format.OPTION_DATA + option.nonce.length;
    case "route-information":
      return format.ROUTE_PREFIX + format.routePrefixBytes(option.prefixLength);
    case "rdnss":
      return format.DNS_DATA + option.servers.length * IPV6_BYTES;
    case "dnssl":
      return roundUp(format.DNS_DATA + namesLength(option.domains));
    default:
      return format.OPTION_DATA + option.data.length;
  }
};

/** Bytes of all of them. */
export const lengthOfOptions = (options: readonly format.NdpOption[]): number =>
  options.reduce((bytes, option) => bytes + lengthOfOption(option), 0);

const TYPE_OF = {
  "source-link-layer": format.OPTION.SOURCE_LINK_LAYER,
  "target-link-layer": format.OPTION.TARGET_LINK_LAYER,
  "prefix-information": format.OPTION.PREFIX_INFORMATION,
  "redirected-header": format.OPTION.REDIRECTED_HEADER,
  mtu: format.OPTION.MTU,
  nonce: format.OPTION.NONCE,
  "route-information": format.OPTION.ROUTE_INFORMATION,
  rdnss: format.OPTION.RDNSS,
  dnssl: format.OPTION.DNSSL,
} as const;

/** Writes the options at `at`; gives their bytes. RangeError where one is out of range. */
export const emitOptions = (options: readonly format.NdpOption[], view: DataView, at: number): number => {
  const start = at;
  for (const option of options) {
    const bytes = lengthOfOption(option);
    need(
      bytes % format.UNIT_BYTES === 0,
      `bytes of option ${option.kind}`,
      `be a multiple of ${format.UNIT_BYTES}`,
    );
    requireInteger(`bytes of option ${option.kind}`, bytes, format.MAX_OPTION_BYTES, format.UNIT_BYTES);
    writeZeros(view, at, bytes);
    view.setUint8(at + format.OPTION_TYPE, option.kind === "other" ? option.type : TYPE_OF[option.kind]);
    view.setUint8(at + format.OPTION_UNITS, bytes / format.UNIT_BYTES);
    emitData(option, view, at);
    at += bytes;
  }
  return at - start;
};

const emitData = (option: format.NdpOption, view: DataView, at: number): void => {
  switch (option.kind) {
    case "source-link-layer":
    case "target-link-layer":
      option.mac.write(view, at + format.OPTION_DATA);
      return;
    case "prefix-information":
      emitPrefix(option, view, at);
      return;
    case "redirected-header":
      writeBytes(view, at + format.REDIRECTED, option.packet);
      return;
    case "mtu":
      requireInteger("mtu", option.mtu, MAX_UINT32);
      view.setUint32(at + format.MTU, option.mtu);
      return;
    case "nonce":
      requireInteger("nonce.length", option.nonce.length, MAX_UINT16, format.MIN_NONCE_BYTES);
      writeBytes(view, at + format.OPTION_DATA, option.nonce);
      return;
    case "route-information":
      emitRoute(option, view, at);
      return;
    case "rdnss":
    case "dnssl":
      emitDns(option, view, at);
      return;
    default:
      requireInteger("option type", option.type, MAX_UINT8);
      need(!format.OWN_TYPES.has(option.type), "option type", "be one without a record of its own");
      writeBytes(view, at + format.OPTION_DATA, option.data);
  }
};

const emitPrefix = (option: format.PrefixInformation, view: DataView, at: number): void => {
  requireInteger("prefixLength", option.prefixLength, format.MAX_PREFIX_LENGTH);
  requireInteger("validSeconds", option.validSeconds, MAX_UINT32);
  requireInteger("preferredSeconds", option.preferredSeconds, MAX_UINT32);
  need(option.prefix.family === 6, "prefix", "be an IPv6 address");
  view.setUint8(at + format.PREFIX_LENGTH, option.prefixLength);
  view.setUint8(
    at + format.PREFIX_FLAGS,
    (option.onLink ? format.ON_LINK : 0) | (option.autonomous ? format.AUTONOMOUS : 0),
  );
  view.setUint32(at + format.VALID, option.validSeconds);
  view.setUint32(at + format.PREFERRED, option.preferredSeconds);
  option.prefix.write(view, at + format.PREFIX);
};

const emitRoute = (option: format.RouteInformation, view: DataView, at: number): void => {
  const { prefix, prefixLength, preference, lifetimeSeconds } = option;
  requireInteger("prefixLength", prefixLength, format.MAX_PREFIX_LENGTH);
  requireInteger("lifetimeSeconds", lifetimeSeconds, MAX_UINT32);
  need(prefix.family === 6, "prefix", "be an IPv6 address");
  const bytes = prefix.toBytes();
  const written = format.routePrefixBytes(prefixLength);
  need(
    bytes.subarray(written).every((byte) => byte === 0),
    "prefix",
    "be zero beyond its length",
  );
  view.setUint8(at + format.ROUTE_LENGTH, prefixLength);
  view.setUint8(at + format.ROUTE_FLAGS, format.preferenceFlags(preference));
  view.setUint32(at + format.ROUTE_LIFETIME, lifetimeSeconds);
  writeBytes(view, at + format.ROUTE_PREFIX, bytes.subarray(0, written));
};

const emitDns = (option: format.DnsServers | format.DnsSearchList, view: DataView, at: number): void => {
  requireInteger("lifetimeSeconds", option.lifetimeSeconds, MAX_UINT32);
  view.setUint32(at + format.DNS_LIFETIME, option.lifetimeSeconds);
  if (option.kind === "dnssl") {
    need(option.domains.length > 0, "domains", "be one or more");
    writeNames(option.domains, view, at + format.DNS_DATA);
    return;
  }
  need(option.servers.length > 0, "servers", "be one or more");
  option.servers.forEach((server, i) => {
    need(server.family === 6, "server", "be an IPv6 address");
    server.write(view, at + format.DNS_DATA + i * IPV6_BYTES);
  });
};
