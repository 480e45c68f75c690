import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** Docker or Podman on this machine, with a compose program that talks to it. */
export interface ContainerEngine {
  /** Runs the engine's own program. */
  engine(...args: readonly string[]): Ended;
  /** Runs compose. */
  compose(...args: readonly string[]): Ended;
  /** Ends what was started for the tests. */
  close(): void;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function works(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): boolean {
  return spawnSync(command, args, { env, stdio: 'ignore', timeout: 60_000 }).status === 0;
}

function ender(program: readonly string[], cwd: string, env: NodeJS.ProcessEnv): (...args: readonly string[]) => Ended {
  const [command = '', ...first] = program;
  return (...args) => {
    const { status, stdout, stderr } = spawnSync(command, [...first, ...args], {
      cwd,
      env,
      encoding: 'utf8',
      maxBuffer: 64 * 2 ** 20,
    });
    return { code: status, stdout, stderr };
  };
}

/** @returns why there is none, as a text, where none can be used */
export async function findContainerEngine(project: string, baseImage: string): Promise<ContainerEngine | string> {
  const engine = ['docker', 'podman'].find((each) => works(each, ['info']));
  if (engine === undefined) return 'neither docker nor podman runs on this machine';
  if (!works(engine, ['image', 'inspect', baseImage]) && !works(engine, ['pull', '--quiet', baseImage])) {
    return `${engine} has no image ${baseImage} and cannot pull it`;
  }
  const compose = [['docker', 'compose'], ['docker-compose'], ['podman', 'compose']].find(([command = '', ...args]) =>
    works(command, [...args, 'version']),
  );
  if (compose === undefined) return 'there is no docker compose, docker-compose or podman compose';
  const service = engine === 'podman' && process.env['DOCKER_HOST'] === undefined ? await podmanService() : null;
  const env = service === null ? process.env : { ...process.env, DOCKER_HOST: `unix://${service.socket}` };
  return {
    engine: ender([engine], project, env),
    compose: ender(compose, project, env),
    close: () => service?.close(),
  };
}

/** The socket through which compose talks to Podman. */
async function podmanService(): Promise<{ socket: string; close(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'anemone-podman-'));
  const socket = join(folder, 'podman.sock');
  const child = spawn('podman', ['system', 'service', '--time=0', `unix://${socket}`], { stdio: 'ignore' });
  for (let tries = 0; tries < 200 && !existsSync(socket); tries += 1) await pause(50);
  return {
    socket,
    close() {
      child.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
