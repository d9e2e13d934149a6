/**
 * The survey: every feature of millrace tried on every kind of device that this machine has, one line for each finding.
 *
 * `bun run tests/vm/guest/survey.ts [WORD...]`, as root: only features and devices whose name holds one of the words. It
 * works on any machine; the cards come from MILLRACE_CABLES. tests/vm/matrix-run.ts runs it in its guests.
 */
import { writeSync } from "node:fs";
import type { LabOptions } from "../../support/lab.ts";
import { kernelVersion } from "../../../ffi/sys/machine.ts";
import { formatFound, formatKernel } from "../found.ts";
import { examine, type Feature } from "./survey/feature.ts";
import { FRAME_FEATURES } from "./survey/frames.ts";
import { PROGRAM_FEATURES } from "./survey/program.ts";
import { type Kind, kinds, Stage } from "./survey/stage.ts";

const words = process.argv.slice(2);
const wanted = ({ device }: Kind, { name }: Feature): boolean =>
  words.length === 0 || words.some((word) => device.includes(word) || name.includes(word));

const features = [...PROGRAM_FEATURES, ...FRAME_FEATURES];

/** The features that share a lab, by its shape: making one of cards takes seconds. */
const byShape = (kind: Kind): Map<string, { readonly shape: LabOptions; readonly features: Feature[] }> => {
  const groups = new Map<string, { shape: LabOptions; features: Feature[] }>();
  for (const feature of features.filter((each) => wanted(kind, each))) {
    const shape = feature.shape ?? {};
    const key = JSON.stringify(shape) + (feature.alone === true ? feature.name : "");
    const group = groups.get(key) ?? { shape, features: [] };
    group.features.push(feature);
    groups.set(key, group);
  }
  return groups;
};

/** Written at once, so that what was found before a panic is not lost with it. */
const out = process.stdout.fd;
const { text: release, upstream } = kernelVersion()!;
writeSync(out, `${formatKernel({ release, upstream })}\n`);
for (const kind of kinds()) {
  for (const group of byShape(kind).values()) {
    let stage: Stage | undefined;
    try {
      for (const feature of group.features) {
        stage ??= new Stage(kind, group.shape);
        writeSync(out, `${formatFound(await examine(feature, stage))}\n`);
      }
    } catch (error) {
      const detail = `no lab: ${error instanceof Error ? error.message : String(error)}`;
      for (const { name } of group.features)
        writeSync(out, `${formatFound({ feature: name, device: kind.device, answer: "wrong", detail })}\n`);
    } finally {
      stage?.close();
    }
  }
}
process.exit(0);
