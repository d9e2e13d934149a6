/** The lines of a program's output as they come. */

/** Calls `take` with each line, the last too where nothing ends it. Resolves at the end of the stream. */
export const eachLine = async (
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> => {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
};
