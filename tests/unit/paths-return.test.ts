/** A path whose route comes back: where its monitor knew it alive before, it is on trial until the monitor says so again. */
import { expect, test } from "bun:test";
import type { Path } from "../../stack/ip/paths/path.ts";
import { HostLab } from "../support/host-lab.ts";
import { Oracle, told, twoLinks } from "../support/two-links.ts";

const VERIFY_MS = 1000;
const GATEWAY = "10.1.0.2";

/** Two links whose first path is watched, and what takes its route away and brings it back. */
const setUp = (lab: HostLab, oracle: Oracle) => {
  const { near } = twoLinks(lab);
  const { host } = near;
  host.paths.watch({ gateway: GATEWAY }, oracle);
  const route = host.routes.all().find(({ gateway }) => gateway?.toString() === GATEWAY)!;
  const comeAndGo = (): Path => {
    host.routes.remove(route);
    near.events.length = 0;
    host.addRoute(route);
    return host.paths.find({ gateway: GATEWAY })!;
  };
  return { near, comeAndGo };
};

test("is used at once where nobody ever knew it alive", () => {
  using lab = new HostLab();
  const { comeAndGo } = setUp(lab, new Oracle());
  expect(comeAndGo().state).toBe("up");
});

test("is not used before its monitor, which knew it alive, says so again and a trial has passed", () => {
  using lab = new HostLab();
  const oracle = new Oracle();
  const { near, comeAndGo } = setUp(lab, oracle);
  oracle.say("up");
  // What it knew ends with the path.
  oracle.verdict = "unknown";
  const path = comeAndGo();
  expect(path.state).toBe("verifying");
  expect(near.events.map(told)).toEqual([
    `eth0 via ${GATEWAY} up: new`,
    `eth0 via ${GATEWAY} verifying: bfd`,
  ]);
  lab.run(10 * VERIFY_MS);
  expect(path.state).toBe("verifying");
  oracle.say("up");
  lab.run(VERIFY_MS - 1);
  expect(path.state).toBe("verifying");
  lab.run(1);
  expect(path.state).toBe("up");
});

test("is as its monitor says where that keeps its opinion", () => {
  using lab = new HostLab();
  const oracle = new Oracle("health", "up");
  const { comeAndGo } = setUp(lab, oracle);
  expect(comeAndGo().state).toBe("up");
  oracle.say("down");
  expect(comeAndGo().state).toBe("down");
});
