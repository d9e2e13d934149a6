/**
 * VLAN tags (IEEE 802.1Q, 802.1ad): four bytes each between the addresses and the type, which this file skips or reads.
 *
 * A tag is at the offset of the type field that announces it: control information, then the type of what follows.
 * Offsets here are those of the control information, two bytes behind that type.
 */
import { ETHERTYPE, TYPE, HEADER_BYTES as ETHERNET_BYTES } from "./ethernet.ts";
import { MAX_UINT16, requireInteger } from "./fields.ts";

export const CONTROL = 0;
export const INNER_TYPE = CONTROL + 2;
export const TAG_BYTES = INNER_TYPE + 2;

const PRIORITY_SHIFT = 13;
const DROP_ELIGIBLE = 0x1000;
const IDENTIFIER_MASK = 0xfff;
const MAX_PRIORITY = 7;

/** Tags that are skipped; more than two (a provider's and a customer's) nobody sends. */
export const MAX_TAGS = 2;

/** What `check` and `skip` find wrong. */
export const BAD = {
  short: -1,
  /** More than `MAX_TAGS` tags. */
  tags: -2,
} as const;

export const isTag = (type: number): boolean => type === ETHERTYPE.VLAN || type === ETHERTYPE.QINQ;

/** 0 where `length` bytes from `at` hold a tag, else one of `BAD`. */
export const check = (_view: DataView, _at: number, length: number): number =>
  length < TAG_BYTES ? BAD.short : 0;

/** The number of the VLAN, 0 to 4095; 0 is a frame that has a priority only. */
export const identifier = (view: DataView, at: number): number =>
  view.getUint16(at + CONTROL) & IDENTIFIER_MASK;
/** 0 to 7. */
export const priority = (view: DataView, at: number): number =>
  view.getUint16(at + CONTROL) >> PRIORITY_SHIFT;
export const dropEligible = (view: DataView, at: number): boolean =>
  (view.getUint16(at + CONTROL) & DROP_ELIGIBLE) !== 0;
/** The type of what follows the tag: another tag's, or the payload's. */
export const innerType = (view: DataView, at: number): number => view.getUint16(at + INNER_TYPE);

export const setControl = (
  view: DataView,
  at: number,
  identifier: number,
  priority: number,
  dropEligible: boolean,
): void =>
  view.setUint16(
    at + CONTROL,
    (priority << PRIORITY_SHIFT) | (dropEligible ? DROP_ELIGIBLE : 0) | identifier,
  );
export const setInnerType = (view: DataView, at: number, value: number): void =>
  view.setUint16(at + INNER_TYPE, value);

/**
 * The offset of the innermost type field of the Ethernet frame of `length` bytes at `at`: its own one where there is no
 * tag. The payload begins two bytes behind it. Negative, one of `BAD`, where the frame ends before or has too many tags.
 */
export const skip = (view: DataView, at: number, length: number): number => {
  if (length < ETHERNET_BYTES) return BAD.short;
  let typeAt = at + TYPE;
  let left = length - ETHERNET_BYTES;
  for (let tags = 0; isTag(view.getUint16(typeAt)); tags++) {
    if (tags === MAX_TAGS) return BAD.tags;
    if (left < TAG_BYTES) return BAD.short;
    typeAt += TAG_BYTES;
    left -= TAG_BYTES;
  }
  return typeAt;
};

/** A tag. */
export interface VlanRecord {
  /** 0 to 4095. */
  readonly identifier: number;
  /** 0 to 7. */
  readonly priority: number;
  readonly dropEligible: boolean;
  /** 0 to 0xffff. */
  readonly innerType: number;
}

export const lengthOf = (_record: VlanRecord): number => TAG_BYTES;

export const parse = (view: DataView, at: number, length: number): VlanRecord | undefined =>
  check(view, at, length) < 0
    ? undefined
    : {
        identifier: identifier(view, at),
        priority: priority(view, at),
        dropEligible: dropEligible(view, at),
        innerType: innerType(view, at),
      };

/**
 * Writes the tag and gives its length.
 *
 * @throws RangeError where a number does not fit its field.
 */
export const emit = (record: VlanRecord, view: DataView, at: number): number => {
  requireInteger("identifier", record.identifier, IDENTIFIER_MASK);
  requireInteger("priority", record.priority, MAX_PRIORITY);
  requireInteger("innerType", record.innerType, MAX_UINT16);
  setControl(view, at, record.identifier, record.priority, record.dropEligible);
  setInnerType(view, at, record.innerType);
  return TAG_BYTES;
};
