/**
 * A host of thirty lines: answers ARP, ping and UDP for one address, each in the frame that asked.
 */
import type { Frame } from "millrace";
import { fold } from "./checksum.ts";
import {
  ARP,
  ARP_BYTES,
  ARP_OPERATION,
  ETHERNET,
  ICMP,
  ICMP_TYPE,
  IPV4_ADDRESS_BYTES,
  type Layers,
  MAC_BYTES,
  PROTOCOL,
  TYPE,
} from "./packet.ts";
import { reverse } from "./reverse.ts";

const U16_MASK = 0xffff;
/** The words of an ICMP header that hold type and code, as they enter its checksum. */
const ECHO_REQUEST_WORD = ICMP_TYPE.echoRequest << 8;

/** Turns a ping around: request becomes reply, and the checksum follows by RFC 1624, without being summed again. */
const answerEcho = (view: DataView, layers: Layers): boolean => {
  const icmp = layers.transport;
  if (view.getUint8(icmp + ICMP.type) !== ICMP_TYPE.echoRequest) return false;
  view.setUint8(icmp + ICMP.type, ICMP_TYPE.echoReply);
  view.setUint16(
    icmp + ICMP.checksum,
    fold(view.getUint16(icmp + ICMP.checksum) + ECHO_REQUEST_WORD) & U16_MASK,
  );
  return true;
};

/** Turns "who has this address?" into "it is at `mac`". */
const answerArp = (frame: Frame, layers: Layers, mac: Uint8Array): boolean => {
  const { bytes, view, at } = frame;
  const arp = layers.network;
  if (arp + ARP_BYTES > at + frame.head) return false;
  if (view.getUint16(arp + ARP.operation) !== ARP_OPERATION.request) return false;
  view.setUint16(arp + ARP.operation, ARP_OPERATION.reply);
  const asked = view.getUint32(arp + ARP.targetAddress);
  bytes.copyWithin(
    arp + ARP.targetMac,
    arp + ARP.senderMac,
    arp + ARP.senderMac + MAC_BYTES + IPV4_ADDRESS_BYTES,
  );
  bytes.set(mac, arp + ARP.senderMac);
  view.setUint32(arp + ARP.senderAddress, asked);
  bytes.copyWithin(at + ETHERNET.destination, at + ETHERNET.source, at + ETHERNET.source + MAC_BYTES);
  bytes.set(mac, at + ETHERNET.source);
  return true;
};

/** Answers the frame in place and sends it back; false where it is nothing to answer. */
export const respond = (frame: Frame, layers: Layers, mac: Uint8Array): boolean => {
  const { view, at } = frame;
  layers.read(view, at, frame.head);
  if (layers.ethertype === TYPE.arp) return answerArp(frame, layers, mac) && frame.send();
  if (layers.transport < 0) return false;
  const echo = layers.protocol === PROTOCOL.icmp;
  if (echo ? !answerEcho(view, layers) : layers.protocol !== PROTOCOL.udp) return false;
  reverse(view, at, layers);
  return frame.send();
};
