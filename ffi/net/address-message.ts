/**
 * An address of an interface as RTM_NEWADDR and RTM_DELADDR tell of it, both ways.
 *
 * Source: include/uapi/linux/if_addr.h.
 */
import { encodeAttribute, encodeAttributeU32, type Message } from "./message.ts";
import {
  AF_INET6,
  addressBits,
  addressBytes,
  encodeBody,
  isFamily,
  readAttributes,
  requireFamily,
  sameBytes,
  type SystemFamily,
  type Unread,
} from "./rtnetlink.ts";

export const RTM_ADDRESS = { NEW: 20, DEL: 21, GET: 22 } as const;

/** struct ifaddrmsg. */
const FAMILY = 0;
const PREFIX_LENGTH = FAMILY + 1;
const FLAGS = PREFIX_LENGTH + 1;
const SCOPE = FLAGS + 1;
const INDEX = SCOPE + 1;
const HEADER_BYTES = INDEX + 4;

const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const;
/** The header holds the low eight, IFA_FLAGS all. SECONDARY of IPv4 has TEMPORARY's bit. */
const IFA_F = {
  TEMPORARY: 0x01,
  OPTIMISTIC: 0x04,
  DADFAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
} as const;
const HEADER_FLAGS = 0xff;

/** An address as the kernel holds it. */
export interface AddressRecord {
  /** ifindex. */
  readonly interface: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The other end, where the address is half of a point-to-point pair. */
  readonly peer: Uint8Array | undefined;
  /** Of the peer's network where there is a peer. */
  readonly prefixLength: number;
  /** Not to be used: duplicate address detection has not ended, or found one. An optimistic address (RFC 4429) can be used. */
  readonly tentative: boolean;
  readonly deprecated: boolean;
  readonly temporary: boolean;
}

/** What an RTM_NEWADDR or RTM_DELADDR tells. Never throws. */
export const parseAddress = (message: Message): AddressRecord | Unread => {
  const { body, type } = message;
  if (type !== RTM_ADDRESS.NEW && type !== RTM_ADDRESS.DEL) return "foreign";
  if (body.byteLength < HEADER_BYTES) return "malformed";
  const family = body.getUint8(FAMILY);
  if (!isFamily(family)) return "foreign";
  const attributes = readAttributes(body, HEADER_BYTES);
  if (attributes === undefined) return "malformed";
  const given = attributes.bytes(IFA.ADDRESS);
  // Without LOCAL the address is the interface's own; with it ADDRESS is the peer's, or the same again.
  const address = attributes.bytes(IFA.LOCAL) ?? given;
  const prefixLength = body.getUint8(PREFIX_LENGTH);
  const right = addressBytes(family);
  if (address?.length !== right || (given ?? address).length !== right) return "malformed";
  if (prefixLength > addressBits(family)) return "malformed";
  const flags = attributes.u32(IFA.FLAGS) ?? body.getUint8(FLAGS);
  return {
    interface: body.getUint32(INDEX, true),
    address,
    peer: given === undefined || sameBytes(given, address) ? undefined : given,
    prefixLength,
    tentative: isTentative(flags),
    deprecated: (flags & IFA_F.DEPRECATED) !== 0,
    temporary: family === AF_INET6 && (flags & IFA_F.TEMPORARY) !== 0,
  };
};

const isTentative = (flags: number): boolean =>
  (flags & IFA_F.DADFAILED) !== 0 || ((flags & IFA_F.TENTATIVE) !== 0 && (flags & IFA_F.OPTIMISTIC) === 0);

/** The body of a message that tells of this address. Throws TypeError for addresses of other lengths. */
export const encodeAddress = (record: AddressRecord): Uint8Array => {
  const family = requireFamily(record.address);
  const flags =
    (record.tentative ? IFA_F.TENTATIVE : 0) |
    (record.deprecated ? IFA_F.DEPRECATED : 0) |
    (record.temporary ? IFA_F.TEMPORARY : 0);
  return encodeBody(
    HEADER_BYTES,
    (view) => {
      view.setUint8(FAMILY, family);
      view.setUint8(PREFIX_LENGTH, record.prefixLength);
      view.setUint8(FLAGS, flags & HEADER_FLAGS);
      view.setUint32(INDEX, record.interface, true);
    },
    [
      encodeAttribute(IFA.ADDRESS, record.peer ?? record.address),
      encodeAttribute(IFA.LOCAL, record.address),
      encodeAttributeU32(IFA.FLAGS, flags),
    ],
  );
};

/** The body of an RTM_GETADDR for all addresses of a family. */
export const encodeAddressQuery = (family: SystemFamily): Uint8Array =>
  encodeBody(HEADER_BYTES, (view) => view.setUint8(FAMILY, family));
