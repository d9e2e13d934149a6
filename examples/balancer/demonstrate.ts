/**
 * The laboratory of a balancer that was given no interface: three backends, and a hundred flows that ask them without end.
 */
import { attach, type AttachOptions, type XdpDevice } from "millrace";
import { example } from "../support/place.ts";
import { BalancerGround, OWN, VIPS } from "./ground.ts";

const PORT = 9000;
const FLOWS = 100;
const PPS = 5000;

/** What of the command line the laboratory says itself. */
export interface DemoValues {
  readonly address: string[];
  readonly vip: string[];
  readonly service: string[];
  readonly backend: string[];
}

export interface Demonstration extends Disposable {
  readonly interfaces: readonly string[];
  readonly values: DemoValues;
  attach(name: string, options: AttachOptions): XdpDevice;
  /** Starts the backends and the clients. */
  begin(): void;
}

/** Makes the laboratory; backends that were named stand in the place of its own. */
export const demonstrate = (given: {
  readonly backend: readonly string[];
  readonly backends?: string;
}): Demonstration => {
  const ground = BalancerGround.create();
  const { lab, backends } = ground;
  const named = given.backend.length > 0 || given.backends !== undefined;
  const silent = { stdout: "ignore", stderr: "ignore" } as const;
  return {
    interfaces: [ground.interface],
    values: {
      address: [...OWN],
      vip: [...VIPS],
      service: [`udp/${PORT}`, `tcp/${PORT}`],
      backend: named ? [...given.backend] : backends.map(({ ipv4 }) => ipv4),
    },
    attach: (name, options) => attach(name, { ...options, namespace: lab.namespace("b") }),
    begin() {
      for (const { lab: own, name, ipv4 } of backends)
        own.spawn("b", example("balancer/backend", name, String(PORT), ipv4, ...VIPS), silent);
      for (const vip of VIPS)
        lab.spawn(
          "a",
          example("balancer/client", vip, String(PORT), String(FLOWS / 2), String(PPS / 2)),
          silent,
        );
    },
    [Symbol.dispose]: () => ground.close(),
  };
};
