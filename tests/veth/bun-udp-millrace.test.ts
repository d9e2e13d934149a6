/** `millrace/bun` on a veth pair, with Bun's own `udpSocket` in the namespace at the other end. */
import { type StackHost, udpSocket, use } from "../../bun.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { answerEverything, peerProgram, type Peer } from "../support/udp-peer.ts";
import { udpSocketSuite } from "../support/udp-socket-suite.ts";
import { loosely } from "../support/udp-stage.ts";

let lab: Lab;
let peer: Peer;
let host: StackHost;

udpSocketSuite(
  "udpSocket of millrace/bun",
  () => {
    lab = Lab.create();
    answerEverything(lab);
    peer = peerProgram(lab, "a");
    host = use(lab.b.name, {
      addresses: [`${lab.b.ipv4}/24`, `${lab.b.ipv6}/64`],
      dad: false,
      attach: { namespace: lab.namespace("b") },
    });
    return {
      open: loosely(udpSocket),
      peer,
      own: { v4: lab.b.ipv4, v6: lab.b.ipv6 },
      far: { v4: lab.a.ipv4, v6: lab.a.ipv6 },
      nobody: lab.b.ipv4.replace(/\d+$/, "77"),
      everybody: lab.b.ipv4.replace(/\d+$/, "255"),
      until,
      // The ring takes what a turn sends, and no more.
      narrow: () => {},
      widen: () => {},
    };
  },
  () => {
    const devices = host.interfaces.map((one) => one.link.device);
    host.close();
    for (const device of devices) device.close();
    peer.close();
    lab.close();
  },
  skipWithoutLab(Lab.unavailable()),
);
