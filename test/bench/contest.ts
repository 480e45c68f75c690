/** What one round of one contender took. */
export interface Sample {
  readonly seconds: number;
  /** User and system time of every process that took part. */
  readonly cpuSeconds: number;
}

/** One way of doing the work. */
export interface Contender {
  readonly name: string;
  run(round: number): Promise<Sample>;
}

/** The medians of all contenders, by name. */
export type Medians = ReadonlyMap<string, Sample>;

/** Lets the contenders work in turns, A B A B, so that a machine that is busy for a while is busy for all of them. */
export async function contest(contenders: readonly Contender[], rounds: number): Promise<Medians> {
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, run } of contenders) samples.get(name)?.push(await run(round));
  }
  return new Map(
    [...samples].map(([name, all]) => [
      name,
      { seconds: median(all.map((one) => one.seconds)), cpuSeconds: median(all.map((one) => one.cpuSeconds)) },
    ]),
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** The sample of one contender. */
export function of(medians: Medians, name: string): Sample {
  const sample = medians.get(name);
  if (sample === undefined) throw new Error(`${name} took no part`);
  return sample;
}

/** The name of the one that was the fastest among those whose name starts like this. */
export function fastest(medians: Medians, ...prefixes: readonly string[]): string {
  const candidates = [...medians].filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix)));
  const [first] = candidates.sort(([, a], [, b]) => a.seconds - b.seconds);
  if (first === undefined) throw new Error(`nobody called ${prefixes.join(' or ')} took part`);
  return first[0];
}
