"""Writes small qcow2 images, sound ones and others, byte by byte: QEMU's docs/interop/qcow2.txt says what the fields are.

    image = Image(size=4 << 20, data={0: 0x11, 3: 0x22})      # two clusters of data
    image.patch("n_snapshots", 7)                             # a field of the header
    image.put64(image.l2[0] + 8, image.data[0])               # an entry of a table
    image.save(path)
"""
import os
import struct
import zlib

# name: (offset, bytes)
HEADER = {"magic": (0, 4), "version": (4, 4), "backing_offset": (8, 8), "backing_size": (16, 4), "cluster_bits": (20, 4),
          "size": (24, 8), "crypt_method": (32, 4), "l1_size": (36, 4), "l1_offset": (40, 8), "reftable_offset": (48, 8),
          "reftable_clusters": (56, 4), "n_snapshots": (60, 4), "snapshots_offset": (64, 8), "incompatible": (72, 8),
          "compatible": (80, 8), "autoclear": (88, 8), "refcount_order": (96, 4), "header_length": (100, 4),
          "compression_type": (104, 1)}
DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = 1, 2, 4, 8, 16
BACKING_FORMAT, FEATURE_NAMES, BITMAPS, DATA_FILE_NAME, CRYPT = 0xe2792aca, 0x6803f857, 0x23852875, 0x44415441, 0x0537be77
COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1
REFCOUNT_BITS = 16


def deflated(cluster):
    """As in a compressed cluster: raw deflate, a window of 4 KiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(cluster) + packer.flush()


class Image:
    """data, compressed: {number of the guest's cluster: a byte that fills it}; zeros: numbers of clusters."""

    def __init__(self, size=4 << 20, data=(), compressed=(), zeros=(), version=3, cluster_bits=16, is_extended=False, l1_size=None,
                 extensions=(), backing=None):
        self.cluster, self.bytes, self.used = 1 << cluster_bits, bytearray(), []
        self.size, self.is_extended = size, is_extended
        self.entry = 16 if is_extended else 8
        self.per_l2 = self.cluster // self.entry
        n_l1 = -(-size // (self.per_l2 * self.cluster)) if l1_size is None else l1_size
        self.take(1)
        self.l1 = self.take(max(1, -(-n_l1 * 8 // self.cluster)))
        self.l2, self.data, self.packed = {}, {}, {}
        for number, byte in dict(data).items():
            self.data[number] = self.take(1)
            self.bytes[self.data[number]:self.data[number] + self.cluster] = bytes([byte]) * self.cluster
            self.put_entry(number, self.data[number] | COPIED, 0xffffffff)
        for number in zeros:
            self.put_entry(number, 0 if is_extended else ZERO, 0xffffffff << 32)
        self.add_compressed(dict(compressed))
        self.header(version, cluster_bits, n_l1, extensions, backing)
        self.count()

    def take(self, n):
        at = len(self.bytes)
        self.bytes += bytes(n * self.cluster)
        return at

    def put64(self, at, value):
        struct.pack_into(">Q", self.bytes, at, value)

    def get64(self, at):
        return struct.unpack_from(">Q", self.bytes, at)[0]

    def table(self, number):
        """Place of the L2 table that has this cluster."""
        which = number // self.per_l2
        if which not in self.l2:
            self.l2[which] = self.take(1)
            self.put64(self.l1 + 8 * which, self.l2[which] | COPIED)
        return self.l2[which]

    def put_entry(self, number, value, bitmap=0):
        at = self.table(number) + number % self.per_l2 * self.entry
        self.put64(at, value)
        if self.is_extended:
            self.put64(at + 8, bitmap)

    def add_compressed(self, clusters):
        place = end = 0
        for number, byte in clusters.items():
            stream = deflated(bytes([byte]) * self.cluster)
            if end - place < len(stream):
                place = self.take(1)
                end = place + self.cluster
            self.bytes[place:place + len(stream)] = stream
            self.packed[number] = place
            self.put_entry(number, self.compressed_entry(place, len(stream)))
            place += len(stream)

    def compressed_entry(self, place, length):
        offset_bits = 62 - (self.cluster.bit_length() - 1 - 8)
        sectors = (place % 512 + length - 1) // 512
        return COMPRESSED | sectors << offset_bits | place

    def header(self, version, cluster_bits, n_l1, extensions, backing):
        length = 104 if version == 3 else 72
        fields = {"magic": 0x514649fb, "version": version, "cluster_bits": cluster_bits, "size": self.size, "l1_size": n_l1,
                  "l1_offset": self.l1}
        if version == 3:
            fields |= {"refcount_order": REFCOUNT_BITS.bit_length() - 1, "header_length": length,
                       "incompatible": EXTENDED_L2 if self.is_extended else 0}
        for name, value in fields.items():
            self.patch(name, value)
        for kind, body in extensions:
            struct.pack_into(">II", self.bytes, length, kind, len(body))
            self.bytes[length + 8:length + 8 + len(body)] = body
            length += 8 + -(-len(body) // 8) * 8
        if backing is not None:
            self.bytes[length + 8:length + 8 + len(backing)] = backing
            self.patch("backing_offset", length + 8)
            self.patch("backing_size", len(backing))

    def count(self):
        """Refcount table and blocks, behind everything else: each cluster has one use, those of several streams as many."""
        per_block = self.cluster * 8 // REFCOUNT_BITS
        n_blocks = 1
        while (total := len(self.bytes) // self.cluster + 1 + n_blocks) > n_blocks * per_block:
            n_blocks += 1
        assert n_blocks * 8 <= self.cluster, "more than one cluster of the refcount table"
        self.reftable, self.refblock = self.take(1), self.take(n_blocks)
        uses = [1] * total
        for place in self.packed.values():
            uses[place // self.cluster] += 1
        for place in {p // self.cluster for p in self.packed.values()}:
            uses[place] -= 1
        for i in range(n_blocks):
            self.put64(self.reftable + 8 * i, self.refblock + i * self.cluster)
        for i, n in enumerate(uses):
            struct.pack_into(">H", self.bytes, self.refblock + 2 * i, n)
        self.patch("reftable_offset", self.reftable)
        self.patch("reftable_clusters", 1)

    def patch(self, name, value):
        at, n = HEADER[name]
        self.bytes[at:at + n] = value.to_bytes(n, "big")
        return self

    def get(self, name):
        at, n = HEADER[name]
        return int.from_bytes(self.bytes[at:at + n], "big")

    def save(self, path):
        """Zeros at the end of clusters are holes."""
        with open(path, "wb") as f:
            for at in range(0, len(self.bytes), 65536):
                part = self.bytes[at:at + 65536]
                if any(part):
                    f.seek(at)
                    f.write(part)
            f.truncate(len(self.bytes))
        os.chmod(path, 0o644)
        return path
