import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ContainerEngine, type Ended, findContainerEngine } from '../support/container-engine.js';

const root = join(import.meta.dirname, '../..');
const image = 'anemone-peer';
const project = `anemone-test-${process.pid}`;
const longest = 900_000;

const found = await findContainerEngine(root, 'docker.io/library/node:24-bookworm-slim');
if (typeof found === 'string') process.stderr.write(`The tests of the container image are skipped: ${found}.\n`);

describe.skipIf(typeof found === 'string')('the container image and its demo of three servers', () => {
  const { engine, compose, close } = found as ContainerEngine;
  const demo = (...args: readonly string[]): Ended => compose('-p', project, '--profile', 'demo', ...args);
  const inside = (service: string, ...command: readonly string[]): Ended => demo('exec', '-T', service, ...command);
  const field = (service: string, template: string): string => {
    const id = demo('ps', '-q', service).stdout.trim();
    return engine('inspect', '--format', template, id).stdout.trim();
  };
  const served = async (service: string): Promise<void> => {
    let answer = inside(service, 'anemone-node', '--health');
    for (let tries = 0; answer.code !== 0 && tries < 60; tries += 1) {
      await pause(500);
      answer = inside(service, 'anemone-node', '--health');
    }
    expect(answer).toMatchObject({ code: 0, stdout: 'the node serves\n' });
  };

  beforeAll(async () => {
    const up = demo('up', '-d', '--build', 'fr1', 'fr2', 'us1');
    expect(up.code, up.stderr).toBe(0);
    for (const service of ['fr1', 'fr2', 'us1']) await served(service);
  }, longest);
  afterAll(() => {
    demo('down', '-v', '-t', '5');
    close();
  }, longest);

  it('says how to set a server up where there is no configuration', () => {
    // Docker's client tells no exit code of what Podman removes when it has ended.
    const name = `${project}-unconfigured`;
    const { code, stderr } = engine('run', '--name', name, image);
    engine('rm', name);
    expect(code).toBe(2);
    expect(stderr).toContain('docker compose run --rm node anemone-peer init');
  });

  it('shows the recovery key on the screen only, not on a page that would be gone with the container', () => {
    const made = engine('run', '--rm', image, 'anemone-peer', 'init', '--name', 'FR9', '--listen', '10.8.0.9');
    expect(made.code, made.stderr).toBe(0);
    expect(made.stdout).toContain('This is the recovery key of FR9');
    expect(made.stdout).not.toContain('PRINT IT NOW');
  });

  it('passes flags to the node, and runs the client by its name', () => {
    expect(engine('run', '--rm', image, '--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(engine('run', '--rm', image, 'anemone-peer', '--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('runs the node as a plain user without any capability, on a root that nobody can write', () => {
    const status = inside('fr1', 'cat', '/proc/1/status').stdout;
    expect(status).toMatch(/^Uid:\t1000\t1000\t1000\t1000$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(field('fr1', '{{.HostConfig.ReadonlyRootfs}}')).toBe('true');
    expect(inside('fr1', 'sh', '-c', 'echo x >/home/node/x').stderr).toContain('Read-only file system');
    expect(inside('fr1', 'sh', '-c', 'echo x >/tmp/x').code).toBe(0);
  });

  it('backs up to both peers, and lists what they hold', () => {
    const backup = inside('fr1', 'anemone-peer', 'backup');
    expect(backup.code, backup.stderr).toBe(0);
    const list = inside('us1', 'anemone-peer', 'list', 'FR1', '--json');
    expect(list.code, list.stderr).toBe(0);
    const backups: { peer_name: string; verified: boolean }[] = JSON.parse(list.stdout).backups;
    expect(backups.length).toBeGreaterThan(0);
    expect(inside('fr2', 'ls', '/config-backups/FR1').stdout).toMatch(/^anemone-backup-FR1-\d{8}-\d{6}\.enc$/m);
    expect(inside('us1', 'ls', '/config-backups/FR1').stdout).toMatch(/^anemone-backup-FR1-\d{8}-\d{6}\.enc$/m);
  });

  it('puts a backup back into the volume that holds the configuration', () => {
    const before = inside('fr1', 'cat', '/config/config.yaml').stdout;
    expect(before).toContain('name: FR1');
    expect(inside('fr1', 'sh', '-c', 'echo "# lost" >/config/config.yaml; echo x >/config/mine').code).toBe(0);
    const args = ['restore', 'latest', '--yes', '--server', 'FR1', '--peer', '198.51.100.12', '--no-takeover'];
    const restored = inside('fr1', 'anemone-peer', ...args);
    expect(restored.code, restored.stderr).toBe(0);
    expect(inside('fr1', 'cat', '/config/config.yaml').stdout).toBe(before);
    expect(inside('fr1', 'cat', '/config/mine').stdout).toBe('x\n');
  });

  it('comes back by itself when the node is killed', async () => {
    const pid = Number(field('fr2', '{{.State.Pid}}'));
    expect(pid).toBeGreaterThan(1);
    // Not the engine's own kill: that counts as a wish to stop.
    process.kill(pid, 'SIGKILL');
    for (let tries = 0; tries < 120 && !(Number(field('fr2', '{{.RestartCount}}')) > 0); tries += 1) await pause(250);
    await served('fr2');
    expect(Number(field('fr2', '{{.State.Pid}}'))).not.toBe(pid);
    expect(inside('fr2', 'ls', '/config-backups/FR1').stdout).toContain('.enc');
  });

  it('ends in order when it is stopped', () => {
    expect(demo('stop', 'us1').code).toBe(0);
    const id = demo('ps', '-a', '-q', 'us1').stdout.trim();
    expect(engine('inspect', '--format', '{{.State.ExitCode}}', id).stdout.trim()).toBe('0');
  });

  it('sets up once: what is there stays', () => {
    const before = inside('fr1', 'cat', '/config/config.yaml').stdout;
    expect(before).toContain('name: FR1');
    const setup = demo('ps', '-a', '-q', 'demo-setup').stdout.trim();
    const again = engine('start', '--attach', setup);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toContain('FR1, FR2 and US1 are set up');
    expect(inside('fr1', 'cat', '/config/config.yaml').stdout).toBe(before);
  });
});
