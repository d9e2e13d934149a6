/**
 * An interface on a link where the host answers for itself, as the service addresses see it.
 */
import type { Interface } from "../interface.ts";
import type { PathState } from "../paths/path.ts";
import type { Placed } from "./segments.ts";

export class Member implements Placed {
  readonly on: Interface;
  /** The name that its link was given. */
  readonly segment: string | undefined;
  /** It is the one that speaks for service addresses on its link. */
  active = false;
  /** Those on its link, itself among them, in the order in which they joined. */
  mates: readonly Member[] = [this];
  /** When it was to speak up last. */
  spokeMs = -Infinity;
  /** The number of an interface that spoke on this link and left; 0 for none. */
  inherited = 0;
  /** The best of its paths, as they were when that was asked last. */
  standing: PathState = "up";
  /** It was dead when that was asked the time before. */
  revived = false;

  constructor(on: Interface, segment: string | undefined) {
    this.on = on;
    this.segment = segment;
  }

  /** It is found to be as `standing` says. True where it died, and nobody on its link can speak in its place. */
  stand(standing: PathState): boolean {
    const wasDead = this.standing === "down";
    this.standing = standing;
    this.revived = wasDead && standing !== "down";
    return !wasDead && standing === "down" && this.mates.length === 1;
  }
}

/** What those of a link that answers may come from have in common, the best that there are. */
const FIT: readonly ((member: Member) => boolean)[] = [
  ({ standing, on }) => standing === "up" && on.link.up,
  // On trial; they are used where there is nothing better, as for sending.
  ({ standing, on }) => standing !== "down" && on.link.up,
  // Whoever asks over it proves that it lives.
  ({ on }) => on.link.up,
];

/** Those of a link that answers may come from. */
export const fittest = (mates: readonly Member[]): readonly Member[] => {
  for (const isFit of FIT) {
    const fit = mates.filter((member) => isFit(member));
    if (fit.length > 0) return fit;
  }
  return mates;
};

/** The one that speaks: as long as it is fit the same as before, so that addresses move no more than they must. */
export const elect = (mates: readonly Member[]): Member => {
  const fit = fittest(mates);
  return fit.find((member) => member.active) ?? fit[0]!;
};
