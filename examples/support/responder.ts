/**
 * A host of thirty lines: answers ARP, ping and UDP for one address, each in the frame that asked.
 */
import type { Frame } from "millrace";
import { arp, checksum, ethernet, icmpv4, MacAddress, PROTOCOL } from "millrace/wire";
import type { Layers } from "./layers.ts";
import { reverse } from "./reverse.ts";

/** Turns a ping around: request becomes reply, and the checksum follows by RFC 1624, without being summed again. */
const answerEcho = (view: DataView, { transport: at }: Layers): boolean => {
  if (icmpv4.type(view, at) !== icmpv4.TYPE.ECHO_REQUEST) return false;
  const before = view.getUint16(at + icmpv4.TYPE_AT);
  icmpv4.setType(view, at, icmpv4.TYPE.ECHO_REPLY);
  const after = view.getUint16(at + icmpv4.TYPE_AT);
  view.setUint16(at + icmpv4.CHECKSUM, checksum.update16(icmpv4.checksum(view, at), before, after));
  return true;
};

/** Turns "who has this address?" into "it is at `mac`". */
const answerArp = (frame: Frame, { network: at }: Layers, mac: MacAddress): boolean => {
  const { view } = frame;
  if (arp.check(view, at, frame.at + frame.head - at) < 0) return false;
  if (arp.operation(view, at) !== arp.OPERATION.REQUEST) return false;
  const asked = arp.targetWord(view, at);
  arp.setOperation(view, at, arp.OPERATION.REPLY);
  arp.setTargetMac(view, at, arp.senderMac(view, at));
  arp.setTargetWord(view, at, arp.senderWord(view, at));
  arp.setSenderMac(view, at, mac);
  arp.setSenderWord(view, at, asked);
  ethernet.swapAddresses(view, frame.at);
  // The question went to everybody.
  ethernet.setSource(view, frame.at, mac);
  return true;
};

/** Answers the frame in place and sends it back; false where it is nothing to answer. */
export const respond = (frame: Frame, layers: Layers, mac: MacAddress): boolean => {
  const { view, at } = frame;
  layers.read(view, at, frame.head);
  if (layers.ethertype === ethernet.ETHERTYPE.ARP) return answerArp(frame, layers, mac) && frame.send();
  if (layers.transport < 0) return false;
  const echo = layers.protocol === PROTOCOL.ICMP;
  if (echo ? !answerEcho(view, layers) : layers.protocol !== PROTOCOL.UDP) return false;
  reverse(view, at, layers);
  return frame.send();
};
