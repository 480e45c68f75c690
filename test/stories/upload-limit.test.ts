import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { withRelay } from '../support/mesh.js';

it('a run in progress follows a changed limit of uploads, and status tells it', { timeout: 120_000 }, () =>
  withRelay(async (fr1, fr2, relay) => {
    // At this pace the backup takes half an hour.
    await fr1.edit((text) => `${text}\nlimits: { upload: 20KB }\n`);
    await writeFile(join(fr1.folder, 'config/large.bin'), randomBytes(40_000_000));
    await Promise.all([fr1.startInside(), fr2.startInside()]);
    const run = fr1.peer(['backup']);
    await relay.untilSent(100_000);
    const limited = JSON.parse((await fr1.peer(['status', '--json'])).stdout);
    expect(limited.server.upload).toEqual({ rate: 20_000, until: null });
    expect(relay.sent()).toBeLessThan(5_000_000);
    await fr1.edit((text) => text.replace('upload: 20KB', 'upload: "00:00 off, 12:00 off"'));
    expect((await run).code).toBe(0);
    expect(relay.sent()).toBeGreaterThan(40_000_000);
    expect((await fr1.peer(['status'])).stdout).toMatch(/^upload\tno limit until (00|12):00$/m);
  }),
);
