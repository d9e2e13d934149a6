/** Bun's own `udpSocket` in one namespace, with Bun's own in another: the suite says nothing that is not so. */
import { inNamespace } from "../../index.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { answerEverything, peerProgram, type Peer } from "../support/udp-peer.ts";
import { udpSocketSuite } from "../support/udp-socket-suite.ts";
import type { LooseOpener } from "../support/udp-stage.ts";

let lab: Lab;
let peer: Peer;

udpSocketSuite(
  "Bun.udpSocket",
  () => {
    lab = Lab.create();
    answerEverything(lab);
    peer = peerProgram(lab, "a");
    lab.exec("b", ["ip", "link", "set", "lo", "up"]);
    // A socket belongs to the namespace that it was made in.
    const open = (options: unknown) =>
      inNamespace(lab.namespace("b"), () => ({
        socket: Bun.udpSocket(options as Bun.udp.SocketOptions<"buffer">),
      })).socket;
    return {
      open: open as LooseOpener,
      peer,
      own: { v4: lab.b.ipv4, v6: lab.b.ipv6 },
      far: { v4: lab.a.ipv4, v6: lab.a.ipv6 },
      nobody: lab.b.ipv4.replace(/\d+$/, "77"),
      everybody: lab.b.ipv4.replace(/\d+$/, "255"),
      until,
      // What waits in a queue of the kernel's counts against the socket's send buffer.
      narrow: () =>
        lab.exec("b", `tc qdisc add dev ${lab.b.name} root tbf rate 1mbit burst 4kb limit 10mb`.split(" ")),
      widen: () => lab.exec("b", ["tc", "qdisc", "del", "dev", lab.b.name, "root"]),
    };
  },
  () => {
    peer.close();
    lab.close();
  },
  skipWithoutLab(Lab.unavailable()),
);
