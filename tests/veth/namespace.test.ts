/** Work in another network namespace always comes back, whatever happens inside. */
import { describe, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { getLink, listLinks } from "../../ffi/net/link.ts";
import { inNamespace } from "../../ffi/net/namespace.ts";
import { SystemError } from "../../ffi/sys/errno.ts";
import { Lab, openFds } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { runSnippet } from "../support/subprocess.ts";

const here = (): string => readlinkSync("/proc/thread-self/ns/net");
const of = (name: string): string => `net:[${inode(name)}]`;
const inode = (name: string): string =>
  Bun.spawnSync(["stat", "-L", "-c", "%i", `/run/netns/${name}`])
    .stdout.toString()
    .trim();

const caught = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it did not throw");
};

describe.skipIf(skipWithoutLab(Lab.unavailable()))("namespace", () => {
  test("there and back, by name and by path, with the result", () => {
    using lab = Lab.create();
    const before = here();
    const name = lab.namespace("b");
    expect(inNamespace(name, here)).toBe(of(name));
    expect(inNamespace(`/run/netns/${name}`, here)).toBe(of(name));
    expect(here()).toBe(before);
    expect(of(name)).not.toBe(before);
    expect(inNamespace(name, () => getLink("vb").name)).toBe("vb");
    expect(() => getLink("vb")).toThrow(/ENODEV/);
  });

  test("undefined is here", () => {
    const before = here();
    expect(inNamespace(undefined, here)).toBe(before);
  });

  test("nested: each level returns to the one it came from", () => {
    using lab = Lab.create();
    const [a, b] = [lab.namespace("a"), lab.namespace("b")];
    const before = here();
    const seen = inNamespace(a, () => [here(), inNamespace(b, here), here()]);
    expect(seen).toEqual([of(a), of(b), of(a)]);
    expect(here()).toBe(before);
  });

  test("it comes back when the work throws, and the error is the work's own", () => {
    using lab = Lab.create();
    const before = here();
    const mine = new Error("mine");
    const thrown = caught(() =>
      inNamespace(lab.namespace("b"), () => {
        throw mine;
      }),
    );
    expect(thrown).toBe(mine);
    expect(here()).toBe(before);
  });

  test("a promise is refused, after the way back", () => {
    using lab = Lab.create();
    const before = here();
    const thrown = caught(() => inNamespace(lab.namespace("b"), async () => 1));
    expect(thrown).toBeInstanceOf(TypeError);
    expect(String(thrown)).toContain("synchronous");
    expect(here()).toBe(before);
  });

  test("a namespace that does not exist: ENOENT, and the names that do", () => {
    using lab = Lab.create();
    const thrown = caught(() => inNamespace("no-such-namespace", () => 1)) as SystemError;
    expect(thrown).toBeInstanceOf(SystemError);
    expect(thrown.code).toBe("ENOENT");
    expect(thrown.message).toStartWith('cannot enter network namespace "no-such-namespace": ENOENT: ');
    expect(thrown.remedy).toContain("ip netns");
    expect(lab.open).toBe(true);
  });

  test("a file that is no namespace: EINVAL; names that cannot be any: TypeError", () => {
    const before = here();
    expect((caught(() => inNamespace("/proc/self/status", () => 1)) as SystemError).code).toBe("EINVAL");
    // A namespace, but of another kind.
    expect((caught(() => inNamespace("/proc/self/ns/uts", () => 1)) as SystemError).code).toBe("EINVAL");
    for (const bad of ["", ".", "..", "a\0b"]) expect(() => inNamespace(bad, () => 1)).toThrow(TypeError);
    // @ts-expect-error: callers without types
    expect(() => inNamespace(7, () => 1)).toThrow(TypeError);
    // @ts-expect-error: callers without types
    expect(() => inNamespace("x", 7)).toThrow(TypeError);
    expect(here()).toBe(before);
  });

  test("where the way back is lost, that is said at once", async () => {
    using lab = Lab.create();
    const child = await runSnippet(
      `import { closeSync, readdirSync, readlinkSync } from "node:fs";
       import { inNamespace } from "../../ffi/net/namespace.ts";
       const own = readlinkSync("/proc/thread-self/ns/net");
       const fdsOf = (target) => readdirSync("/proc/self/fd").filter((fd) => {
         try { return readlinkSync("/proc/self/fd/" + fd) === target; } catch { return false; }
       });
       try {
         inNamespace(process.argv.at(-1), () => {
           for (const fd of fdsOf(own)) closeSync(Number(fd));
           throw new Error("the first trouble");
         });
       } catch (error) {
         console.log(JSON.stringify({ code: error.code, message: error.message, cause: error.cause?.message }));
       }`,
      { args: [lab.namespace("b")] },
    );
    expect(child.stderr).toBe("");
    expect(JSON.parse(child.stdout)).toEqual({
      code: "EBADF",
      message: expect.stringMatching(/^cannot return from network namespace .*: EBADF: .*end the process$/),
      cause: "the first trouble",
    });
  });

  test("what other threads and the file system see does not change", () => {
    using lab = Lab.create();
    const mounted = () => Bun.spawnSync(["cat", "/proc/self/mounts"]).stdout.toString().split("\n").length;
    const before = mounted();
    expect(inNamespace(lab.namespace("b"), mounted)).toBe(before);
  });

  test("programs started inside belong inside", () => {
    using lab = Lab.create();
    const run = () => Bun.spawnSync(["ip", "-br", "link"]).stdout.toString();
    expect(inNamespace(lab.namespace("b"), run)).toContain("vb@");
    expect(run()).not.toContain("vb@");
  });

  test("1000 times, also failing ones, leave no descriptor", () => {
    using lab = Lab.create();
    const name = lab.namespace("b");
    inNamespace(name, () => listLinks());
    const before = openFds();
    const own = here();
    for (let i = 0; i < 1000; i++) {
      expect(inNamespace(name, () => i)).toBe(i);
      if (i % 10 === 0) {
        caught(() => inNamespace("no-such-namespace", () => 1));
        caught(() => inNamespace("/proc/self/status", () => 1));
        caught(() => inNamespace(name, () => listLinks().at(-1)!.mac.fill(0) && getLink("nosuchlink")));
      }
    }
    expect(openFds()).toBeLessThanOrEqual(before);
    expect(here()).toBe(own);
  });
});
