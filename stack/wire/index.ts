/**
 * The public names of `millrace/wire`: one namespace for each format, and the addresses that they have in common.
 *
 * Each namespace has accessors that read and write fields in place, `check` to come before them, and `parse` and `emit` of
 * a record: `udp.sourcePort(view, at)`, `ipv4.parse(view, at, length)`.
 */
export * as arp from "./arp.ts";
export * as bfd from "./bfd.ts";
export * as checksum from "./checksum.ts";
export * as dhcp from "./dhcp.ts";
export * as ethernet from "./ethernet.ts";
export * as icmpv4 from "./icmpv4.ts";
export * as icmpv6 from "./icmpv6.ts";
export * as igmp from "./igmp.ts";
export * as ipv4 from "./ipv4.ts";
export * as ipv6 from "./ipv6.ts";
export * as ipv6Extensions from "./ipv6-extensions.ts";
export * as mld from "./mld.ts";
export * as ndp from "./ndp.ts";
export * as udp from "./udp.ts";
export * as vlan from "./vlan.ts";
export { type Family, IpAddress, MAPPED } from "./address.ts";
export { ETHERTYPE } from "./ethernet.ts";
export { BROADCAST_MAC, MAC_BYTES, MacAddress } from "./mac.ts";
export { parseInterfaceAddress, Prefix } from "./prefix.ts";
export { describe } from "./printer.ts";
export { PROTOCOL } from "./protocol.ts";
