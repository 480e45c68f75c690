/**
 * Derives the age key from a recovery key with nothing but Python 3: Crockford's base32 with its checksum, HKDF-SHA256
 * (RFC 5869) with the label `age`, and Bech32 (BIP 173). It stands in every kit, so that backups outlive this program.
 */
export const ageKeyProgram = `import getpass, hashlib, hmac
text = getpass.getpass("Recovery key: ").upper()
text = text.replace("O", "0").replace("I", "1").replace("L", "1")
text = "".join(text.replace("-", " ").split())
number = 0
for letter in text:
    number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
raw = (number >> 2).to_bytes(36, "big")
check = hashlib.sha256(b"anemone-peer/v1 recovery key\\0" + raw[:33]).digest()[:3]
if len(text) != 58 or check != raw[33:]:
    raise SystemExit("this is not a recovery key: compare it with the paper")
def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()
key = mac(mac(b"anemone-peer/v1", raw[1:33]), b"age\\x01")
prefix = "age-secret-key-"
bits = int.from_bytes(key, "big") << 4
words = [bits >> 5 * place & 31 for place in reversed(range(52))]
sum = 1
for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + words + [0] * 6:
    top, sum = sum >> 25, (sum & 0x1FFFFFF) << 5 ^ value
    for bit, term in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
        sum ^= term if top >> bit & 1 else 0
words += [(sum ^ 1) >> 5 * place & 31 for place in reversed(range(6))]
print((prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[w] for w in words)).upper())`;

/** Opens the predecessor's format with OpenSSL 3. */
export const cbc1Commands = `key=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:"$RESTIC_KEY" \\
  -kdfopt salt:anemone-config-export -kdfopt iter:100000 -binary PBKDF2 | od -An -tx1 | tr -d ' \\n')
iv=$(head -c 16 BACKUP.enc | od -An -tx1 | tr -d ' \\n')
tail -c +17 BACKUP.enc | openssl enc -d -aes-256-cbc -K "$key" -iv "$iv" | tar -xz`;
