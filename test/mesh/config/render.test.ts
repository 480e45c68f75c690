import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig, parseConfig } from '../../../src/mesh/config/load.js';
import { describeConfig, renderConfig, renderStartingConfig } from '../../../src/mesh/config/render.js';
import { parseAddress } from '../../../src/mesh/terms/address.js';

const recipient = 'age17y46w907m7fqf6ek78zsa29z87e8pkwe6zlejkluja9nztla3v0scrv8jk';

describe('the configuration that init writes', () => {
  it.each(['10.8.0.1', '[fd00::1]:7444'])('loads without a hint, with what was asked for: %s', (listen) => {
    const text = renderStartingConfig({
      name: 'FR1',
      listen: parseAddress(listen),
      recipients: [recipient],
      paths: ['./config', '/srv/a: b #c', '*', '- x', '007'],
      timezone: 'Europe/Paris',
    });
    const { config, hints } = parseConfig('/srv/config.yaml', text);
    expect(hints).toEqual([]);
    expect(config.server).toMatchObject({ name: 'FR1', listen: parseAddress(listen) });
    expect(config.backup).toMatchObject({ timezone: 'Europe/Paris', encryption: { recipients: [recipient] } });
    expect(config.backup.sets[0]?.source).toMatchObject({ paths: ['./config', '/srv/a: b #c', '*', '- x', '007'] });
  });
});

describe('the effective configuration', () => {
  it.each(['example.yaml', 'minimal.yaml'])('of %s loads again as itself', async (name) => {
    const { config } = await loadConfig(join(import.meta.dirname, '../../../config', name));
    expect(parseConfig(config.file, renderConfig(config)).config).toEqual(config);
    expect(parseConfig(config.file, JSON.stringify(describeConfig(config))).config).toEqual(config);
  });

  it('loads again also with the old format, a peer without identity, no schedule, and a time table', () => {
    const { config } = parseConfig(
      '/srv/config.yaml',
      `server: { name: FR1, listen: "[::1]:7443" }
peers: [{ name: FR2, vpn_ip: fr2.example, enabled: false }]
backup: { schedule: never, encryption: { format: anemone-cbc1, password_file: key } }
limits: { upload: "08:00 512KiB, 23:00 off" }`,
    );
    expect(describeConfig(config)['limits']).toMatchObject({ upload: '08:00 524288, 23:00 off' });
    expect(parseConfig(config.file, renderConfig(config)).config).toEqual(config);
  });
});
