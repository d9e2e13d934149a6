/**
 * One dump of one table in bounded steps, over a socket of its own, which stays readable while there is something to do.
 *
 * The caller hears all notifications that wait between two steps.
 */
import { ERRNO, SystemError } from "../sys/errno.ts";
import { encodeLinkQuery, RTM } from "./link-message.ts";
import { NLMSG, NLM_F, parseAcknowledgement, type Message } from "./message.ts";
import type { MirrorTable } from "./mirror-table.ts";
import type { NetlinkSocket } from "./netlink.ts";

/** The loopback interface of every namespace. */
const LOOPBACK_INDEX = 1;
/** A step that read no message counts as one. */
const STEP = 1;

/** The parts of a table that a dump needs, whatever the table holds. */
interface Dumped extends Pick<MirrorTable<never>, "begin" | "collect" | "doubt" | "finish"> {
  readonly kind: {
    readonly name: string;
    readonly forgetful: boolean;
    readonly types: { readonly GET: number };
    query(): Uint8Array;
  };
}

/**
 * A question that the kernel answers only when no change of links or addresses is half done. It says that a link goes down, or
 * an address goes, before it drops the routes that needed them, and drops those in silence, all of it under the lock (RTNL) that
 * this question takes: a dump right after the notification could still see them.
 */
const askWhenDone = (socket: NetlinkSocket): void => {
  socket.post({
    operation: "ask for the loopback interface",
    type: RTM.GETLINK,
    body: encodeLinkQuery(LOOPBACK_INDEX),
  });
};

const silent = (name: string): SystemError =>
  new SystemError({
    operation: `list ${name}`,
    errno: ERRNO.ETIMEDOUT,
    remedy: "the kernel stopped in the middle of its answer; close this mirror and make a new one",
  });

/** Takes the messages of one datagram of the answer; true when the last one was among them. */
const takeAnswer = (table: Dumped, received: readonly Message[], sequence: number): boolean => {
  for (const message of received) {
    // The loopback interface, or left over from a dump that was given up.
    if (message.sequence !== sequence) continue;
    if (message.type !== NLMSG.DONE && message.type !== NLMSG.ERROR) {
      table.collect(message);
      continue;
    }
    if ((message.flags & NLM_F.DUMP_INTR) !== 0) table.doubt();
    const { errno: code, text } = parseAcknowledgement(message);
    if (code === 0) return true;
    throw new SystemError({
      operation: `list ${table.kind.name}`,
      errno: code,
      remedy: "the kernel refused; its log (dmesg) may say more",
      log: text,
    });
  }
  return false;
};

/** Yields, after each step, how many messages it took (at least 1). Throws SystemError. */
export function* dumpTable(table: Dumped, socket: NetlinkSocket): Generator<number, void> {
  if (table.kind.forgetful) {
    askWhenDone(socket);
    // The answer, skipped below, is what keeps the socket readable; what the change notified meanwhile is heard first.
    yield STEP;
  }
  table.begin();
  const { name, types } = table.kind;
  const operation = `list ${name}`;
  const sequence = socket.post({ operation, type: types.GET, flags: NLM_F.DUMP, body: table.kind.query() });
  for (let ended = false; !ended;) {
    yield STEP;
    const received = socket.receive();
    if (received === "empty") throw silent(name);
    if (received === "overrun") {
      table.doubt();
      continue;
    }
    ended = takeAnswer(table, received, sequence);
    yield received.length;
  }
  // From here on no answer is under way: one that nobody reads keeps the socket readable, so that nobody sleeps.
  socket.post({ operation, type: NLMSG.NOOP, body: new Uint8Array(0) });
  yield STEP;
  for (const _ of table.finish()) yield STEP;
  socket.receive();
}
