/**
 * From a query in place to its answer in the same place: the part of the server that runs for each datagram, without an allocation.
 */
import { type Answer, bareAnswer } from "./answer.ts";
import type { AnswerSet, CompiledZone } from "./compile.ts";
import * as dns from "./message.ts";
import { ABSENT, hashName } from "./name-table.ts";

/** Bytes that must be there from the query's first one on, whatever its length: an answer, and what its last word has too much. */
export const ROOM_BYTES = dns.MAX_UDP_BYTES + 3;
/** Longer queries are not looked at: a question and an OPT record with all its options are some hundred bytes. */
export const MAX_QUERY_BYTES = dns.MAX_UDP_BYTES;

/** Counters of a responder, in datagrams. */
export interface ResponderStatistics {
  readonly queries: number;
  /** By the name of their code. */
  readonly answers: Readonly<Record<keyof typeof dns.RCODE, number>>;
  /** Of those, cut because they had no room in what the asker takes. */
  readonly truncated: number;
  /** Not answered at all: shorter than a header, too long, or themselves an answer. */
  readonly ignored: number;
}

const ONE_QUESTION = 0x0001_0000;
const ARCOUNT_MASK = 0xffff;
const U16_BITS = 16;
const WORD_BYTES = 4;
const WORD_SHIFT = 2;
const NOT_IMPLEMENTED = bareAnswer(dns.RCODE.NOTIMP);
const MALFORMED = bareAnswer(dns.RCODE.FORMERR);
const REFUSED = bareAnswer(dns.RCODE.REFUSED);
const BAD_VERSION = bareAnswer(dns.RCODE.BADVERS);
const FAILED = -1;
/** From IXFR to MAILA: transfers, which need TCP, and what nobody asks for since 1987. */
const TRANSFERS = dns.QTYPE.MAILA - dns.QTYPE.IXFR + 1;

export class Responder {
  readonly #zone: CompiledZone;
  readonly #rcodes = new Float64Array(dns.RCODE_LIMIT);
  #queries = 0;
  #truncated = 0;
  #ignored = 0;
  /** Where each label of the name that is looked at begins. */
  readonly #labels = new Int32Array(dns.MAX_LABELS);
  #labelCount = 0;
  /** Of the query that is looked at: whether it has an OPT record, and what that says. */
  #edns = false;
  #limit = 0;
  #version = 0;
  #ednsFlags = 0;

  constructor(zone: CompiledZone) {
    this.#zone = zone;
  }

  /**
   * Writes the answer to the `length` bytes at `at` over them and returns its length; 0 where there is none to be given.
   * `ROOM_BYTES` from `at` on must be there.
   */
  respond(view: DataView, at: number, length: number): number {
    this.#queries += 1;
    if (length < dns.HEADER_BYTES || length > MAX_QUERY_BYTES) return this.#ignore();
    const flags = view.getUint16(at + dns.FLAGS);
    if ((flags & dns.FLAG.QR) !== 0) return this.#ignore();
    if ((flags & dns.OPCODE_MASK) !== 0) return this.#refuse(view, at, flags, NOT_IMPLEMENTED);
    const end = at + length;
    const nameAt = at + dns.HEADER_BYTES;
    if (view.getInt32(at + dns.QUESTIONS) !== ONE_QUESTION) return this.#refuse(view, at, flags, MALFORMED);
    const nameEnd = this.#walk(view, nameAt, end - dns.QUESTION_TAIL_BYTES);
    if (nameEnd === FAILED) return this.#refuse(view, at, flags, MALFORMED);
    const bodyAt = nameEnd + dns.QUESTION_TAIL_BYTES;
    this.#edns = false;
    this.#limit = dns.PLAIN_UDP_BYTES;
    // Authority and additional counts: no query that is answered here has the first.
    const more = view.getInt32(at + dns.AUTHORITIES);
    if ((more !== 0 || bodyAt !== end) && !this.#readAdditional(view, bodyAt, end, more))
      return this.#refuse(view, at, flags, MALFORMED);
    const answer = this.#find(view, nameAt, nameEnd);
    return this.#write(view, at, bodyAt, nameEnd - nameAt, flags, answer);
  }

  statistics(): ResponderStatistics {
    const answers = Object.fromEntries(
      dns.RCODE_NAMES.map((name) => [name, this.#rcodes[dns.RCODE[name]]!]),
    ) as Record<keyof typeof dns.RCODE, number>;
    return { queries: this.#queries, answers, truncated: this.#truncated, ignored: this.#ignored };
  }

  #ignore(): number {
    this.#ignored += 1;
    return 0;
  }

  /** Notes where the labels of the name at `at` begin; returns where it ends, or `FAILED` where it does not before `limit`. */
  #walk(view: DataView, at: number, limit: number): number {
    const labels = this.#labels;
    let count = 0;
    let next = at;
    while (next < limit) {
      const length = view.getUint8(next);
      if (length === 0) {
        this.#labelCount = count;
        const end = next + 1;
        return end - at > dns.MAX_NAME_BYTES ? FAILED : end;
      }
      // A question stands in front of everything that a pointer could lead to.
      if (length > dns.MAX_LABEL_BYTES || next - at > dns.MAX_NAME_BYTES) return FAILED;
      labels[count] = next;
      count += 1;
      next += 1 + length;
    }
    return FAILED;
  }

  /** The answer for the name from `nameAt` to `nameEnd`, with type and class behind it. */
  #find(view: DataView, nameAt: number, nameEnd: number): Answer {
    if (this.#edns && this.#version !== 0) return BAD_VERSION;
    const type = view.getUint16(nameEnd + dns.QUESTION_TYPE);
    if (view.getUint16(nameEnd + dns.QUESTION_CLASS) !== dns.CLASS_IN) return REFUSED;
    if ((type - dns.QTYPE.IXFR) >>> 0 < TRANSFERS) return type <= dns.QTYPE.AXFR ? REFUSED : NOT_IMPLEMENTED;
    return this.#setFor(view, nameAt, nameEnd)?.of(type) ?? REFUSED;
  }

  /** What is said about the longest end of the name that the zone has; undefined where it has none. */
  #setFor(view: DataView, nameAt: number, nameEnd: number): AnswerSet | undefined {
    const { names, at, below, depth } = this.#zone;
    const labels = this.#labels;
    const count = this.#labelCount;
    const length = nameEnd - nameAt;
    if (count <= depth) {
      const number = names.find(view, nameAt, length, hashName(view, nameAt, length));
      if (number !== ABSENT) return at[number];
    }
    // Ends with more labels than any name of the zone need no look.
    for (let i = Math.max(1, count - depth); i <= count; i++) {
      const from = i === count ? nameEnd - 1 : labels[i]!;
      const number = names.find(view, from, nameEnd - from, hashName(view, from, nameEnd - from));
      if (number !== ABSENT) return below[number];
    }
    return undefined;
  }

  /** Reads the records behind the question: an OPT record at most once, others are gone by. False where they are none. */
  #readAdditional(view: DataView, bodyAt: number, end: number, counts: number): boolean {
    if (counts >>> U16_BITS !== 0) return false;
    let at = bodyAt;
    for (let left = counts & ARCOUNT_MASK; left > 0; left--) {
      const bare = at + dns.OPT_BYTES <= end && view.getUint8(at) === 0;
      const tailAt = bare ? at + 1 : this.#skipName(view, at, end);
      if (tailAt === FAILED || tailAt + dns.RECORD_TAIL_BYTES > end) return false;
      if (view.getUint16(tailAt + dns.RECORD_TYPE) === dns.TYPE.OPT && !this.#readOpt(view, at, bare))
        return false;
      at = tailAt + dns.RECORD_TAIL_BYTES + view.getUint16(tailAt + dns.RECORD_LENGTH);
    }
    return at === end;
  }

  /** Where the owner at `at` ends, compressed or not. */
  #skipName(view: DataView, start: number, end: number): number {
    for (let at = start; at < end;) {
      const length = view.getUint8(at);
      if (length === 0) return at + 1;
      if (length >= dns.POINTER_OCTET) return at + dns.POINTER_BYTES;
      if (length > dns.MAX_LABEL_BYTES) return FAILED;
      at += 1 + length;
    }
    return FAILED;
  }

  /** RFC 6891 section 6.1.1: one at most, and the root's. */
  #readOpt(view: DataView, at: number, ofRoot: boolean): boolean {
    if (this.#edns || !ofRoot) return false;
    this.#edns = true;
    const size = view.getUint16(at + dns.OPT_SIZE);
    // Less than 512 means 512 (RFC 6891 section 6.2.3).
    this.#limit = Math.min(Math.max(size, dns.PLAIN_UDP_BYTES), dns.MAX_UDP_BYTES);
    this.#version = view.getUint8(at + dns.OPT_VERSION);
    this.#ednsFlags = view.getUint16(at + dns.OPT_FLAGS) & dns.DNSSEC_OK;
    return true;
  }

  /** Puts `answer` behind the question and its numbers into the header; returns the message's length. */
  #write(
    view: DataView,
    at: number,
    bodyAt: number,
    nameBytes: number,
    flags: number,
    answer: Answer,
  ): number {
    const room = at + this.#limit - bodyAt - (this.#edns ? dns.OPT_BYTES : 0);
    let bytes = answer.fullBytes;
    let additionals = answer.fullAdditionals;
    let answers = answer.answers;
    let authorities = answer.authorities;
    let cut = 0;
    if (bytes > room) {
      bytes = answer.leastBytes;
      additionals = answer.leastAdditionals;
      if (bytes > room) {
        // Whoever asks over TCP needs no part of it (RFC 2181 section 9).
        this.#truncated += 1;
        bytes = additionals = answers = authorities = 0;
        cut = dns.FLAG.TC;
      }
    }
    if (bytes > 0) this.#copy(view, bodyAt, answer, bytes, nameBytes - answer.nameBytes);
    let end = bodyAt + bytes;
    if (this.#edns) {
      end = this.#writeOpt(view, end, answer.extendedRcode);
      additionals += 1;
    }
    view.setUint16(at + dns.FLAGS, dns.FLAG.QR | answer.flags | cut | (flags & dns.FLAG.RD));
    view.setUint16(at + dns.ANSWERS, answers);
    view.setInt32(at + dns.AUTHORITIES, (authorities << U16_BITS) | additionals);
    this.#rcodes[answer.rcode]! += 1;
    return end - at;
  }

  /** Copies an answer's bytes in words, and moves its pointers by `shift`. */
  #copy(view: DataView, bodyAt: number, answer: Answer, bytes: number, shift: number): void {
    const { words } = this.#zone;
    const end = bodyAt + bytes;
    let word = answer.start >>> WORD_SHIFT;
    for (let to = bodyAt; to < end; to += WORD_BYTES, word++) view.setInt32(to, words[word]!, true);
    if (shift === 0) return;
    const { moving } = answer;
    for (let i = 0; i < moving.length && moving[i]! < bytes; i++) {
      const pointerAt = bodyAt + moving[i]!;
      view.setUint16(pointerAt, view.getUint16(pointerAt) + shift);
    }
  }

  #writeOpt(view: DataView, at: number, extendedRcode: number): number {
    view.setUint8(at, 0);
    view.setUint16(at + dns.OPT_TYPE, dns.TYPE.OPT);
    view.setUint16(at + dns.OPT_SIZE, dns.MAX_UDP_BYTES);
    view.setUint8(at + dns.OPT_EXTENDED_RCODE, extendedRcode);
    view.setUint8(at + dns.OPT_VERSION, 0);
    view.setUint16(at + dns.OPT_FLAGS, this.#ednsFlags);
    view.setUint16(at + dns.OPT_LENGTH, 0);
    return at + dns.OPT_BYTES;
  }

  /** A header with a code, and nothing else: what stood behind it made no sense or is not ours to repeat. */
  #refuse(view: DataView, at: number, flags: number, answer: Answer): number {
    view.setUint16(at + dns.FLAGS, dns.FLAG.QR | answer.flags | (flags & (dns.OPCODE_MASK | dns.FLAG.RD)));
    view.setInt32(at + dns.QUESTIONS, 0);
    view.setInt32(at + dns.AUTHORITIES, 0);
    this.#rcodes[answer.rcode]! += 1;
    return dns.HEADER_BYTES;
  }
}
