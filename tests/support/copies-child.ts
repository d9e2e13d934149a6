/**
 * The program whose memory is searched: it receives, reflects or forwards what comes and does nothing else with it.
 *
 * Arguments: verb, namespace, a JSON of attach options, the umem's chunk size, interfaces. Its first line says where its umem lies; a line "done"
 * follows when it has had its frames, and then it waits to be killed.
 */
import { attach, type AttachOptions, type Frame, Loop, Umem, type XdpDevice } from "../../index.ts";

const [verb = "", namespace = "", options = "{}", chunkBytes, ...interfaces] = process.argv.slice(2);
/** Enough that rings turn and the compiler has looked at the handler. */
export const FRAMES = 40;
const CHUNKS = 4096;
const ETHERTYPE_AT = 12;

const umem = new Umem({ chunks: CHUNKS, chunkBytes: Number(chunkBytes) });
const devices = interfaces.map((name) =>
  attach(name, {
    namespace,
    umem,
    claim: { udp: 9000 },
    ...(JSON.parse(options) as AttachOptions),
  }),
);
const [first, second] = devices;
if (first === undefined) throw new TypeError("name an interface");
const copies: Uint8Array[] = [];
let seen = 0;
let types = 0;

const VERBS: Readonly<Record<string, (frame: Frame) => void>> = {
  receive: (frame) => void (types += frame.view.getUint16(frame.at + ETHERTYPE_AT)),
  reflect: (frame) => void frame.send(),
  forward: (frame) => void frame.forward(second as XdpDevice),
  // The control: what the search must find.
  copy: (frame) => void copies.push(frame.copy()),
};
const act = VERBS[verb];
if (act === undefined) throw new TypeError(`the verbs are ${Object.keys(VERBS).join(", ")}, not ${verb}`);

const loop = new Loop({ mode: "adaptive" });
loop.receive(first, (frame) => {
  act(frame);
  seen += 1;
  if (seen === FRAMES) loop.after(0, () => console.log("done"));
});
console.log(JSON.stringify({ ...umem.area, mode: first.mode.bind }));
await loop.run();
console.log(types, copies.length);
