/**
 * The DNS message: where its fields stand and what their values mean (RFC 1035 section 4, RFC 6891).
 */

export const ID = 0;
export const FLAGS = ID + 2;
export const QUESTIONS = FLAGS + 2;
export const ANSWERS = QUESTIONS + 2;
export const AUTHORITIES = ANSWERS + 2;
export const ADDITIONALS = AUTHORITIES + 2;
export const HEADER_BYTES = ADDITIONALS + 2;

/** Bits of the field of flags; the lowest four are the code of the answer. */
export const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100 } as const;
export const OPCODE_MASK = 0x7800;

/** RFC 1035 section 4.1.1. BADVERS (RFC 6891 section 9) has its upper bits in the OPT record. */
export const RCODE = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];
export const RCODE_NAMES = Object.keys(RCODE) as readonly (keyof typeof RCODE)[];
/** Above the largest of them. */
export const RCODE_LIMIT = RCODE.BADVERS + 1;
/** Bits of a code in the header; those above are the OPT record's. */
export const HEADER_RCODE_MASK = 0x0f;
export const HEADER_RCODE_BITS = 4;

/** Behind the name of a question. */
export const QUESTION_TYPE = 0;
export const QUESTION_CLASS = QUESTION_TYPE + 2;
export const QUESTION_TAIL_BYTES = QUESTION_CLASS + 2;

/** Behind the owner of a record. */
export const RECORD_TYPE = 0;
export const RECORD_CLASS = RECORD_TYPE + 2;
export const RECORD_TTL = RECORD_CLASS + 2;
export const RECORD_LENGTH = RECORD_TTL + 4;
export const RECORD_TAIL_BYTES = RECORD_LENGTH + 2;

/** Types that the server treats in a way of their own; the rest are names for numbers (rdata.ts). */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  MX: 15,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  DS: 43,
} as const;
/** Question types that no record has. From IXFR to ANY they follow each other. */
export const QTYPE = { IXFR: 251, AXFR: 252, MAILB: 253, MAILA: 254, ANY: 255 } as const;
export const CLASS_IN = 1;

/** RFC 1035 section 2.3.4. */
export const MAX_LABEL_BYTES = 63;
export const MAX_NAME_BYTES = 255;
/** Of one byte each, and the root. */
export const MAX_LABELS = 128;

/** Two bits that say that the other 14 are an offset (RFC 1035 section 4.1.4). */
export const POINTER = 0xc000;
export const POINTER_BYTES = 2;
/** First byte of a pointer, at least. */
export const POINTER_OCTET = POINTER >> 8;

/** What every receiver takes (RFC 1035 section 4.2.1). */
export const PLAIN_UDP_BYTES = 512;
/** What crosses every path in one piece: the 1280 bytes that IPv6 needs of a link (RFC 8200 section 5) without its header and UDP's. */
export const MAX_UDP_BYTES = 1232;

/** The OPT record (RFC 6891 section 6.1.2): the root, then a record whose class and TTL mean something else. */
export const OPT_TYPE = 1;
export const OPT_SIZE = OPT_TYPE + 2;
export const OPT_EXTENDED_RCODE = OPT_SIZE + 2;
export const OPT_VERSION = OPT_EXTENDED_RCODE + 1;
export const OPT_FLAGS = OPT_VERSION + 1;
export const OPT_LENGTH = OPT_FLAGS + 2;
export const OPT_BYTES = OPT_LENGTH + 2;
/** The only flag there is: a server without signatures sends it back and does nothing else (RFC 3225 section 3). */
export const DNSSEC_OK = 0x8000;
