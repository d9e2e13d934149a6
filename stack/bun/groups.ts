/**
 * The four calls that change a socket's groups, with the outcomes that the kernel gives them.
 *
 * Sources of one group are added one by one (RFC 3678 section 4.1.1), while a host takes the whole filter: this keeps it.
 */
import type { Host } from "../ip/host.ts";
import type { SourceFilter } from "../transport/network.ts";
import type { UdpSocket } from "../udp/socket.ts";
import type { IpAddress } from "../wire/address.ts";
import { type End, tryReadEnd } from "./ends.ts";
import { argumentError, callError, type ErrorCode } from "./errors.ts";
import { indexNamed, type GroupExit, NO_EXIT } from "./ways.ts";

interface Membership {
  readonly group: IpAddress;
  /** The host's number of the interface. */
  readonly index: number;
  /** Undefined: from everybody. */
  readonly sources: readonly IpAddress[] | undefined;
}

/** No interface of that address or name. */
const UNKNOWN = -1;

const failed = (code: ErrorCode): Error => callError(code, "setsockopt");

export class GroupCalls {
  readonly #host: Host;
  readonly #socket: UdpSocket;
  readonly #own: End;
  #list: readonly Membership[] = [];

  constructor(host: Host, socket: UdpSocket, own: End) {
    this.#host = host;
    this.#socket = socket;
    this.#own = own;
  }

  add(groupText: string, interfaceText: string | undefined): void {
    const group = this.#readGroup(groupText);
    const wanted = this.#readInterface(group, interfaceText);
    if (wanted === UNKNOWN) throw failed("ENODEV");
    if (!group.multicast) throw failed("EINVAL");
    const known = wanted === 0 ? undefined : this.#find(group, wanted);
    if (known !== undefined) throw failed("EADDRINUSE");
    const index = this.#join(group, wanted, undefined);
    const before = this.#find(group, index);
    if (before === undefined) {
      this.#list = [...this.#list, { group, index, sources: undefined }];
      return;
    }
    // It turned out to be an interface that the group was joined on before: that stays as it was.
    if (before.sources !== undefined) this.#join(group, index, including(before.sources));
    throw failed("EADDRINUSE");
  }

  drop(groupText: string, interfaceText: string | undefined): void {
    const group = this.#readGroup(groupText);
    const wanted = this.#readInterface(group, interfaceText);
    const member = wanted === UNKNOWN ? undefined : this.#find(group, wanted);
    if (member === undefined) throw failed("EADDRNOTAVAIL");
    this.#leave(member);
  }

  /** Over a membership for everybody it takes that one's place, as with the kernel. */
  addSource(sourceText: string, groupText: string, interfaceText: string | undefined): void {
    const { source, group, wanted } = this.#readSource(sourceText, groupText, interfaceText);
    if (wanted === UNKNOWN) throw failed("ENODEV");
    if (!group.multicast) throw failed("EINVAL");
    const member = this.#find(group, wanted);
    const before = member?.sources ?? [];
    if (before.some((one) => one.equals(source))) throw failed("EADDRNOTAVAIL");
    const sources = [...before, source];
    const index = this.#join(group, member?.index ?? wanted, including(sources));
    this.#list = [...this.#list.filter((one) => one !== member), { group, index, sources }];
  }

  dropSource(sourceText: string, groupText: string, interfaceText: string | undefined): void {
    const { source, group, wanted } = this.#readSource(sourceText, groupText, interfaceText);
    const member = wanted === UNKNOWN ? undefined : this.#find(group, wanted);
    if (member?.sources === undefined) throw failed("EINVAL");
    const sources = member.sources.filter((one) => !one.equals(source));
    if (sources.length === member.sources.length) throw failed("EADDRNOTAVAIL");
    if (sources.length === 0) return this.#leave(member);
    this.#join(group, member.index, including(sources));
    this.#list = [...this.#list.filter((one) => one !== member), { ...member, sources }];
  }

  /** Which interface the text of `setMulticastInterface` means; undefined where it is no address. */
  exitFor(text: string): GroupExit | undefined {
    const end = tryReadEnd(text);
    if (end === undefined) return undefined;
    if (this.#own.family === 4 && end.family === 6) throw failed("ENOPROTOOPT");
    const index = this.#indexOf(end);
    if (index === UNKNOWN) throw failed("EADDRNOTAVAIL");
    return index === 0 ? NO_EXIT : { index, source: end.family === 4 ? end.address : undefined };
  }

  /** Index 0 finds it on whichever interface it is. */
  #find(group: IpAddress, index: number): Membership | undefined {
    return this.#list.find((one) => one.group.equals(group) && (index === 0 || one.index === index));
  }

  #leave(member: Membership): void {
    this.#list = this.#list.filter((one) => one !== member);
    this.#socket.memberships.leave(member.group, member.index);
  }

  #join(group: IpAddress, index: number, filter: SourceFilter | undefined): number {
    try {
      return this.#socket.memberships.join(group, index, filter);
    } catch (error) {
      // A source that is no unicast address.
      if (error instanceof TypeError) throw failed("EINVAL");
      if (!(error instanceof RangeError)) throw error;
      throw failed(this.#host.interfaces.some(({ link }) => link.up) ? "ENOBUFS" : "ENODEV");
    }
  }

  #readGroup(text: string): IpAddress {
    const end = tryReadEnd(text);
    if (end === undefined) throw failed("EINVAL");
    if (this.#own.family === 4 && end.family === 6) throw failed("ENOPROTOOPT");
    return end.address;
  }

  #readSource(sourceText: string, groupText: string, interfaceText: string | undefined) {
    const source = tryReadEnd(sourceText);
    const named = tryReadEnd(groupText);
    if (source === undefined || named === undefined) throw failed("EINVAL");
    if (source.family !== named.family)
      throw argumentError("Family mismatch between source and group addresses");
    const group = this.#readGroup(groupText);
    return { source: source.address, group, wanted: this.#readInterface(group, interfaceText) };
  }

  /** The interface's number, 0 for the one that routes say. */
  #readInterface(group: IpAddress, text: string | undefined): number {
    if (text === undefined) return 0;
    const end = tryReadEnd(text);
    if (end === undefined) return UNKNOWN;
    if (end.address.family !== group.family && !end.address.unspecified)
      throw argumentError("Family mismatch between address and interface");
    return this.#indexOf(end);
  }

  /** IPv4 names an interface by its address, IPv6 by what stands behind "%", and here by its address too. */
  #indexOf({ address, zone }: End): number {
    if (zone !== undefined) return indexNamed(this.#host, zone) || UNKNOWN;
    if (address.unspecified) return 0;
    const on = this.#host.interfaces.find(({ addresses }) => addresses.find(address) !== undefined);
    return on?.index ?? (address.family === 4 ? UNKNOWN : 0);
  }
}

const including = (sources: readonly IpAddress[]): SourceFilter => ({ mode: "include", sources });
