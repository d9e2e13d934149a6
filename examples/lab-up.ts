/**
 * lab-up: a lab that stays, two namespaces joined by a veth pair, for a person to play in.
 *
 *   bun run examples/lab-up.ts up      (or: make lab)
 *   bun run examples/lab-up.ts down    (or: make lab-down)
 *
 * You should see the commands that work in it next. Namespace millrace-a is the kernel's end (va, 10.77.0.1), millrace-b is
 * where an example goes (vb, 10.77.0.2). Checksum offload is off, so that captures show whole checksums.
 */
import { Lab } from "./lab.ts";
import { bold, dim } from "./support/paint.ts";
import { program, UsageError } from "./support/program.ts";

const NAME = "millrace";

/** What to type, and what for. */
const printCommands = (lab: Lab): void => {
  const sudo = process.env.SUDO_USER === undefined ? "" : "sudo ";
  // Started through make, Bun may be one that is not on the path.
  const bun = sudo === "" && Bun.which("bun") !== null ? "bun" : process.execPath;
  const inside = (side: "a" | "b"): string => `${sudo}${lab.enter(side).join(" ")} ${bun} run`;
  const lines: readonly (readonly [string, string])[] = [
    [`${sudo}ip netns exec ${lab.a.namespace} ping ${lab.b.ipv4}`, "the kernel answers"],
    [`${inside("b")} examples/doctor.ts ${lab.b.name}`, "what this machine can do"],
    [`${inside("b")} examples/count.ts ${lab.b.name}`, "who talks; ping in another terminal"],
    [`${inside("b")} examples/reflect.ts ${lab.b.name}`, "everything comes back"],
    [`${inside("a")} examples/generate.ts ${lab.a.name} --to ${lab.b.ipv4} --answers`, "numbered datagrams"],
    [`${inside("b")} examples/capture.ts ${lab.b.name}`, "then: tshark -r millrace.pcapng"],
    ["make lab-down", "removes it"],
  ];
  const { a, b } = lab;
  console.log(
    `${bold(a.namespace)}: ${a.name} ${a.ipv4} ${a.ipv6}   ──   ${bold(b.namespace)}: ${b.name} ${b.ipv4} ${b.ipv6}\n`,
  );
  for (const [command, what] of lines) console.log(`  ${command}\n      ${dim(what)}`);
};

await program("usage: bun run examples/lab-up.ts up|down", {}, async (_, words) => {
  const [word] = words;
  if (words.length !== 1 || (word !== "up" && word !== "down"))
    throw new UsageError("takes one word, up or down");
  Lab.remove(NAME);
  if (word === "down") console.log("the lab is gone");
  else printCommands(Lab.create({ name: NAME, keep: true, offloads: false }));
  return 0;
});
