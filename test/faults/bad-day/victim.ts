import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { GetStatusResponse } from '../../../src/mesh/generated/anemone/node/v1/node.js';
import type { ServerIdentity } from '../../../src/mesh/identity/server-identity.js';
import { type Connection, connectTo } from '../../../src/mesh/peers/connection.js';
import { fetchBackup } from '../../../src/mesh/peers/fetch-backup.js';
import { getNode } from '../../../src/mesh/peers/get-node.js';
import { listBackups } from '../../../src/mesh/peers/list-backups.js';
import type { Peer } from '../../../src/mesh/peers/peer.js';
import { pushBackup } from '../../../src/mesh/peers/push-backup.js';
import { systemClock } from '../../../src/mesh/terms/clock.js';
import { Failure } from '../../../src/mesh/terms/failure.js';
import type { MeshServer } from '../../support/mesh.js';
import { reading } from '../../support/reading.js';
import type { Recorder, Scale } from '../tally.js';
import { FR2, type Sample, sampleOf, serverOf } from '../world.js';

/** What happens to the node. */
export interface Trouble {
  readonly name: string;
  run(victim: Victim, scale: Scale): Promise<void>;
}

/** Milliseconds that the smallest call and a small push of a good peer may take, whatever else is going on. */
const patience = { call: 2_000, push: 6_000 };
/** Milliseconds within which the node is its old self, once the cause is gone. */
const recovery = 10_000;
/** Log lines that one trouble may cause beside those of the good peer's backups. */
const mostLines = 25;

/** FR2, a node to which bad things happen, as its good peer FR1 and its bad peer BAD see it. */
export class Victim {
  readonly server: MeshServer;
  readonly recorder: Recorder;
  readonly worst = { call: 0, push: 0 };
  readonly #good: Connection;
  readonly #acknowledged: Sample[] = [];
  #nth = 0;

  constructor(server: MeshServer, recorder: Recorder) {
    this.server = server;
    this.recorder = recorder;
    this.#good = this.callAs(serverOf('FR1'));
  }

  get peer(): Peer {
    const [host = '', port] = this.server.address.split(':');
    return { name: FR2, address: { host, port: Number(port) }, identity: this.server.identity };
  }

  /** A connection of its own. */
  callAs(caller: ServerIdentity): Connection {
    return connectTo(this.peer, caller, systemClock);
  }

  /** Has the good peer make a small call and a small push, both in time. @param anew over new connections, too */
  async serves(when: string, anew = true): Promise<void> {
    await this.#check(when, this.#good);
    if (!anew) return;
    const fresh = this.callAs(serverOf('FR1'));
    await this.#check(`${when}, over a new connection`, fresh);
    fresh.close();
  }

  /** The small call, over the connection that is there; and the list of what is held, if that needs nothing that is missing. */
  async answers(when: string, lists = true): Promise<void> {
    this.recorder.fault();
    const start = performance.now();
    try {
      await getNode(this.#good);
      this.#took('call', start, when);
      if (!lists) return;
      const held = await listBackups(this.#good, { owner: 'FR1', set: '' });
      if (held.length < this.#acknowledged.length) this.recorder.lost(`${when}, ${held.length} are listed`);
    } catch (thrown) {
      this.recorder.problem(`${when}, a small call failed: ${Failure.from(thrown).message}`);
    }
  }

  /** A small push of the good peer fails, with these words. */
  async refuses(when: string, words: RegExp): Promise<void> {
    this.recorder.fault();
    const failure = await this.push(this.#good).then(
      () => null,
      (thrown) => Failure.from(thrown),
    );
    if (failure === null) this.recorder.problem(`${when}, a push was acknowledged`);
    else if (!words.test(failure.message) || !failure.retryable) {
      this.recorder.problem(`${when}, a push failed with "${failure.message}", retryable: ${failure.retryable}`);
    }
  }

  /** Once the cause is gone, the node has to be its old self soon, without anyone's doing. */
  async recovers(after: string): Promise<void> {
    const end = performance.now() + recovery;
    for (;;) {
      const failure = await this.push(this.#good).then(
        () => null,
        (thrown) => Failure.from(thrown),
      );
      if (failure === null) break;
      if (performance.now() > end) return this.recorder.problem(`after ${after}: ${failure.message}`);
      await systemClock.sleep(200);
    }
    await this.serves(`after ${after}`);
  }

  /** What the node's own client is told. */
  status(): Promise<GetStatusResponse> {
    return this.server.ask((node) => node.getStatus());
  }

  async statusSays(when: string, words: RegExp): Promise<void> {
    const { diskTroubles } = await this.status();
    const said = diskTroubles.some((trouble) => words.test(trouble));
    if (!said) this.recorder.problem(`${when}, status does not say so: ${JSON.stringify(diskTroubles)}`);
  }

  /** The log tells what was wrong, and is not flooded. @param since its length before */
  logSays(since: number, when: string, words: RegExp): void {
    const lines = this.server.events.all.slice(since).map(({ event, fields }) => `${event} ${JSON.stringify(fields)}`);
    const others = lines.filter((line) => !/^backup accepted .*"owner":"FR1"/.test(line));
    if (!others.some((line) => words.test(line))) {
      this.recorder.problem(`${when}, the log does not say so: ${others.slice(0, 5).join('; ')}`);
    }
    if (others.length > mostLines) {
      this.recorder.problem(`${when}, the log has ${others.length} lines, such as ${others.slice(-2).join('; ')}`);
    }
  }

  /** Mebibytes that the process has resident; and the most it ever had. */
  memory(): { readonly now: number; readonly most: number } {
    const status = readFileSync(`/proc/${this.server.pid}/status`, 'utf8');
    const of = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
    return { now: of('VmRSS'), most: of('VmHWM') };
  }

  /** Files and sockets that the process has open. */
  handles(): number {
    return readdirSync(`/proc/${this.server.pid}/fd`).length;
  }

  /** Everything that was acknowledged is there, byte for byte. */
  async compare(): Promise<void> {
    for (const { manifest } of this.#acknowledged) {
      const { name, sha256 } = manifest.facts;
      const digest = createHash('sha256');
      try {
        for await (const chunk of fetchBackup(this.#good, name, { offset: 0, length: 0 })) digest.update(chunk);
        if (!digest.digest().equals(sha256)) this.recorder.damaged(name);
      } catch (thrown) {
        this.recorder.lost(`${name}: ${Failure.from(thrown).message}`);
      }
    }
  }

  close(): void {
    this.#good.close();
  }

  async push(connection: Connection): Promise<void> {
    this.#nth += 1;
    const sample = sampleOf('FR1', this.#nth, 20_000);
    await pushBackup(connection, sample.manifest, reading(sample.content));
    this.#acknowledged.push(sample);
    this.recorder.acknowledged();
  }

  async #check(when: string, connection: Connection): Promise<void> {
    this.recorder.fault();
    try {
      const start = performance.now();
      await getNode(connection);
      this.#took('call', start, when);
      const before = performance.now();
      await this.push(connection);
      this.#took('push', before, when);
    } catch (thrown) {
      this.recorder.problem(`${when}, the good peer was not served: ${Failure.from(thrown).message}`);
    }
  }

  #took(what: 'call' | 'push', start: number, when: string): void {
    const time = performance.now() - start;
    this.worst[what] = Math.max(this.worst[what], time);
    if (time > patience[what]) this.recorder.problem(`${when}, a small ${what} took ${time.toFixed(0)} ms`);
  }
}
