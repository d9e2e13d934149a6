/** Network cards in this process's own namespace: their drivers taken away and given back, their names kept. */
import { readdirSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { run } from "../../examples/lab-exec.ts";
import { until, untilSync } from "./lab.ts";

const CLASS_FOLDER = "/sys/class/net";
/** A driver that starts resets its card; an igb agrees with its peer on a speed, on an emulated processor. */
const APPEAR_LIMIT_MS = 30_000;

/** What names a card beyond the life of its interface. */
export interface Card {
  readonly name: string;
  readonly mac: string;
  /** Its device on its bus, "virtio3" or "0000:01:00.0". */
  readonly device: string;
  /** Folder of its driver, with the files `bind` and `unbind`. */
  readonly driver: string;
}

const macOf = (name: string): string => {
  try {
    return readFileSync(join(CLASS_FOLDER, name, "address"), "utf8").trim();
  } catch {
    // Gone since the folder was read.
    return "";
  }
};

const bearer = (mac: string): string | undefined =>
  readdirSync(CLASS_FOLDER).find((name) => macOf(name) === mac);

export const cardNamed = (name: string): Card => {
  const device = join(CLASS_FOLDER, name, "device");
  return {
    name,
    mac: macOf(name),
    device: basename(readlinkSync(device)),
    driver: realpathSync(join(device, "driver")),
  };
};

/** Takes the driver off the card: its interface goes. Returns when the kernel is done with all that was open on it. */
export const unbind = (card: Card): void => writeFileSync(join(card.driver, "unbind"), card.device);

/** Gives the card its driver back where it has none, waits for its interface, and gives that the name that it had. */
export const rebind = (card: Card): void => {
  if (bearer(card.mac) === undefined) writeFileSync(join(card.driver, "bind"), card.device);
  const reborn = untilSync(
    `an interface with the address ${card.mac}`,
    () => bearer(card.mac),
    APPEAR_LIMIT_MS,
  );
  if (reborn !== card.name) run(["ip", "link", "set", "dev", reborn, "name", card.name], {});
};

/** Brings interfaces up and waits until they carry frames. */
export const raise = async (...names: readonly string[]): Promise<void> => {
  for (const name of names) run(["ip", "link", "set", "dev", name, "up"], {});
  for (const name of names) {
    await until(
      `${name} to be up`,
      () => readFileSync(join(CLASS_FOLDER, name, "operstate"), "utf8").trim() === "up",
      APPEAR_LIMIT_MS,
    );
  }
};
