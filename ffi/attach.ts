/**
 * One call from an interface's name to a device: look it up, load the program, open the sockets, steer traffic to them.
 *
 * The order keeps the interface alive throughout: the program goes in with an empty map (everything passes to the
 * kernel), sockets get their fill rings filled and are bound, and only then do map entries send frames their way.
 * What fails on the way undoes what was done before it.
 */
import { type Mode, type Refusal, XdpDevice } from "./device.ts";
import { climb, type Ground } from "./ladder.ts";
import { ethtoolFacts, rxQueueCount } from "./net/ethtool.ts";
import { getLink } from "./net/link.ts";
import { LinkWatcher } from "./net/link-watcher.ts";
import { inNamespace } from "./net/namespace.ts";
import { realRxQueues } from "./net/queues.ts";
import { type AttachOptions, DEFAULT_CHUNKS_PER_QUEUE, type Plan, planAttach } from "./options.ts";
import { SocketReports } from "./report.ts";
import * as abi from "./sys/abi.ts";
import { ERRNO, SystemError } from "./sys/errno.ts";
import { usleep } from "./sys/libc.ts";
import { type ChunkShape, cutFrames } from "./whole-frames.ts";
import { type AttachResult, SteerProgram } from "./xdp/program.ts";
import {
  bindRaw,
  type BindTarget,
  BUSY_RETRY_MS,
  BUSY_RETRY_STEP_MS,
  isZeroCopy,
  openRaw,
  setOption,
  US_PER_MS,
} from "./xsk/setup.ts";
import { QueueWatch, queueTaken } from "./xsk/queue-watch.ts";
import { XskSocket } from "./xsk/socket.ts";
import { MAX_SOCKETS_PER_UMEM, Umem } from "./xsk/umem.ts";
import { DEFAULT_CHUNK_BYTES, DEFAULT_HEADROOM_BYTES, LARGEST_CHUNK_BYTES } from "./xsk/umem-options.ts";

const chooseQueues = (plan: Plan, name: string, count: number): readonly number[] => {
  if (plan.queues === "all") {
    if (count > MAX_SOCKETS_PER_UMEM) {
      throw new RangeError(
        `"${name}" has ${count} queues, one umem serves ${MAX_SOCKETS_PER_UMEM}: name the queues to serve`,
      );
    }
    return Array.from({ length: count }, (_, queue) => queue);
  }
  const beyond = plan.queues.find((queue) => queue >= count);
  if (beyond === undefined) return plan.queues;
  throw new SystemError({
    operation: `serve queue ${beyond} of "${name}"`,
    operands: { interface: name, queue: beyond, queues: count },
    errno: ERRNO.EINVAL,
    remedy: `the device has queues 0-${count - 1}; change that with ethtool -L ${name}`,
  });
};

type Cut = (of: ChunkShape) => SystemError | undefined;

/** What the plan says, or larger chunks than usual where a zero-copy card would cut frames in those. */
const chunkBytesFor = (plan: Plan, cut: Cut): number => {
  if (plan.chunkBytes !== undefined) return plan.chunkBytes;
  const chunkBytes = DEFAULT_CHUNK_BYTES;
  const roomBytes = chunkBytes - abi.XDP_PACKET_HEADROOM - (plan.headroomBytes ?? DEFAULT_HEADROOM_BYTES);
  const copies = plan.bind === "copy" || plan.xdp === "generic";
  return copies || cut({ chunkBytes, roomBytes }) === undefined ? chunkBytes : LARGEST_CHUNK_BYTES;
};

const makeUmem = (plan: Plan, queues: number, cut: Cut): Umem =>
  plan.umem ??
  new Umem({
    chunks: plan.chunks ?? DEFAULT_CHUNKS_PER_QUEUE * queues,
    chunkBytes: chunkBytesFor(plan, cut),
    ...(plan.headroomBytes === undefined ? {} : { headroomBytes: plan.headroomBytes }),
  });

/** Opens and binds one socket. The first of a umem climbs the ladder; the others inherit what it found. */
const openSocket = (
  target: BindTarget,
  plan: Plan,
  umem: Umem,
  reports: SocketReports,
  fillTarget: number,
  ground: Ground,
  refused: Refusal[],
): XskSocket => {
  const needWakeup = umem.negotiated?.needWakeup ?? plan.needWakeup;
  const socket = new XskSocket(openRaw(umem, plan.rings), umem, reports, {
    index: target.queue,
    needWakeup,
    fillTarget,
  });
  try {
    if (plan.rings.tx > 0) {
      // Unknown to kernels before 6.17, where 32 copies per call stay the limit and the kick loops.
      setOption(socket.fd, abi.XDP_MAX_TX_SKB_BUDGET, plan.rings.tx);
    }
    // Before bind: some zero-copy drivers take their first buffers inside it.
    socket.prefill();
    if (umem.negotiated === undefined) {
      const rung = climb(socket.fd, target, plan, ground, refused);
      const { zeroCopy, multiBuffer } = rung;
      umem.negotiated = { needWakeup: plan.needWakeup, multiBuffer, zeroCopy };
    } else if (umem.negotiated.zeroCopy && ground.cut !== undefined) throw ground.cut;
    else bindRaw(socket.fd, target, 0, umem.sharedFd);
    socket.bound(isZeroCopy(socket.fd), () => inNamespace(reports.namespace, () => new QueueWatch(target)));
    queueTaken(target);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
};

/** Receive queues that the device has now that its program is there, and none of these sockets serves. */
const unservedQueues = (ifindex: number, name: string, sockets: readonly XskSocket[]): number[] => {
  const served = sockets.map((socket) => socket.index);
  // Before Linux 6.8 virtio_net told ethtool of all of them.
  const real = realRxQueues(ifindex) ?? rxQueueCount(ethtoolFacts(name).channels);
  return Array.from({ length: real }, (_, queue) => queue).filter((queue) => !served.includes(queue));
};

/** What the kernel made of the plan, as far as it can be read back. */
const readMode = (
  plan: Plan,
  xdp: Mode["xdp"],
  { ifindex, interface: name }: Pick<BindTarget, "ifindex" | "interface">,
  umem: Umem,
  sockets: readonly XskSocket[],
  refused: readonly Refusal[],
): Mode => ({
  xdp,
  bind: sockets.every((socket) => socket.zeroCopy) ? "zero-copy" : "copy",
  needWakeup: umem.negotiated?.needWakeup ?? plan.needWakeup,
  multiBuffer: umem.negotiated?.multiBuffer ?? false,
  shared: plan.shared,
  unserved: plan.rings.rx > 0 ? unservedQueues(ifindex, name, sockets) : [],
  refused,
});

/** Throws where a umem that is shared already decided otherwise than the plan insists on. */
const checkMode = (plan: Plan, name: string, mode: Mode): void => {
  const wrong =
    (plan.bind !== "auto" && plan.bind !== mode.bind) ||
    (plan.multiBuffer !== undefined && plan.multiBuffer !== mode.multiBuffer);
  if (!wrong) return;
  throw new SystemError({
    operation: `bind "${name}" as ${plan.bind}${plan.multiBuffer === true ? " with multi-buffer" : ""}`,
    operands: { interface: name, bind: plan.bind },
    errno: ERRNO.EINVAL,
    remedy:
      "a shared umem takes the mode of the device that bound it first: attach that one in this mode, or do not share",
  });
};

/** Puts the program on, waiting out the EBUSY of a process that was killed a moment ago and still lets go of its link. */
const attachProgram = (program: SteerProgram, ifindex: number, name: string, plan: Plan): AttachResult => {
  // By the clock: an attempt through libxdp takes far longer than the pause after it.
  const end = performance.now() + BUSY_RETRY_MS;
  for (;;) {
    try {
      return program.attach({ ifindex, interface: name, mode: plan.xdp, shared: plan.shared });
    } catch (error) {
      const busy = error instanceof SystemError && error.errno === ERRNO.EBUSY;
      if (!busy || performance.now() >= end) throw error;
      usleep(BUSY_RETRY_STEP_MS * US_PER_MS);
    }
  }
};

const attachHere = (name: string, plan: Plan): XdpDevice => {
  using undo = new DisposableStack();
  const link = getLink(name);
  const watcher = undo.use(new LinkWatcher(link));
  const { channels, driver } = ethtoolFacts(name);
  const count = rxQueueCount(channels);
  const numbers = chooseQueues(plan, name, count);
  const cut: Cut = (of) => (plan.rings.rx > 0 ? cutFrames(name, driver?.driver, link.mtu, of) : undefined);
  const umem = makeUmem(plan, numbers.length, cut);
  if (plan.umem === undefined) undo.use(umem);
  if (umem.sharedFd < 0) umem.negotiated = undefined;
  // What drivers still hold of sockets closed a moment ago would be missing from the new ones' share.
  umem.awaitDeparted(BUSY_RETRY_MS);
  const program = undo.use(SteerProgram.load({ queues: count }));
  program.setClaims(plan.claim);
  const attached = attachProgram(program, link.index, name, plan);
  const refused: Refusal[] = [...attached.refused];
  const reports = new SocketReports(
    link.index,
    plan.namespace,
    umem,
    attached.mode === "generic" ? program.countsFd : undefined,
  );
  undo.defer(() => reports.close());
  // Half of what is free may wait in fill rings; the rest is there to send, to keep, and for the next device.
  const share = Math.floor(umem.available / (2 * numbers.length));
  const fillTarget = Math.max(1, Math.min(plan.rings.fill, share));
  const ground: Ground = { native: attached.mode === "native", cut: cut(umem) };
  const queues = numbers.map((queue) => {
    const target = { ifindex: link.index, interface: name, queue, queueCount: count };
    const socket = openSocket(target, plan, umem, reports, fillTarget, ground, refused);
    undo.defer(() => socket.close());
    return socket;
  });
  const mode = readMode(plan, attached.mode, { ifindex: link.index, interface: name }, umem, queues, refused);
  checkMode(plan, name, mode);
  if (plan.rings.rx > 0) for (const socket of queues) program.setSocket(socket.index, socket.fd);
  const device = new XdpDevice({
    name,
    ifindex: link.index,
    namespace: plan.namespace,
    mac: link.mac,
    mtu: link.mtu,
    up: link.running,
    umem,
    ownsUmem: plan.umem === undefined,
    program,
    watcher,
    reports,
    queues,
    mode,
  });
  undo.move();
  return device;
};

/**
 * Attaches to an interface and returns the device that its frames come from.
 *
 * Blocks while the kernel lets go of a socket that was closed a moment ago, one second at the most.
 * Throws TypeError or RangeError for an option that makes no sense, before anything is touched, and SystemError, with
 * the errno's name and the remedy, for what the system refuses; then nothing is left behind.
 */
export const attach = (interfaceName: string, options: AttachOptions = {}): XdpDevice => {
  const plan = planAttach(interfaceName, options);
  return inNamespace(plan.namespace, () => attachHere(interfaceName, plan));
};
