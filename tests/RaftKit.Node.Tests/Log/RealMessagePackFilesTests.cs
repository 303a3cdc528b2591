using System.Globalization;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Tests.Encoding;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// README.md's description of the files is enough for somebody else's program to read them: Python with the real MessagePack.
/// </summary>
public sealed class RealMessagePackFilesTests : IDisposable
{
    private const string Crc32C =
        """
        table = []
        for n in range(256):
            for _ in range(8): n = (n >> 1) ^ (0x82f63b78 if n & 1 else 0)
            table.append(n)
        def crc32c(data):
            c = 0xffffffff
            for b in data: c = table[(c ^ b) & 0xff] ^ (c >> 8)
            return c ^ 0xffffffff
        """;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Python_reads_the_records_of_a_segment()
    {
        var disk = new DiskLogDirectory(_directory.Path);
        var mark = TakeSnapshot(disk, 7, 2);
        // Only its mark is wanted here: a snapshot without a log would be refused.
        foreach (var file in Directory.GetFiles(_directory.Path))
            File.Delete(file);
        using (var log = SegmentedLog.Open(disk, Small, out _))
        {
            log.Write(Batch(1, 3, Entry(1, 1, "one"), Entry(2, 1, new string('x', 9000))));
            log.Write(new LogBatch
            {
                Term = new Term(300), Vote = MemberId.None, ResetTo = mark, TruncateFrom = new LogIndex(8),
                Entries = [Entry(8, 300, "eight")], PeerBoots = [new PeerBoot(new MemberId(2), 1, 70_000)],
            });
            log.Sync();
        }

        var told = RealMessagePack.Run(
            Crc32C +
            """

            data = open(sys.argv[1], 'rb').read()
            little = lambda b: int.from_bytes(b, 'little')
            batch = b''
            for at in range(0, len(data), 4096):
                page = data[at:at + 4096]
                if not any(page): break
                assert all(page[s] == page[s + 511] == 0xc0 | 1 for s in range(0, 4096, 512)), 'stamps'
                assert crc32c(page[0:4] + page[8:]) == little(page[4:8]), 'page checksum'
                assert little(page[8:16]) == 1 and little(page[32:36]) == at // 4096, 'place'
                payload = page[44:511] + b''.join(page[s + 1:s + 511] for s in range(512, 4096, 512))
                batch += payload[:little(page[2:4])]
                if little(page[36:40]) + 1 < little(page[40:44]): continue
                unpacker = msgpack.Unpacker(raw=False)
                unpacker.feed(batch)
                batch = b''
                for body, crc in unpacker:
                    assert crc32c(body) == crc, 'record checksum'
                    print([len(f) if isinstance(f, bytes) and len(f) > 100 else f for f in msgpack.unpackb(body, raw=False)])
            """,
            "", Path.Combine(_directory.Path, "000000000001.log"));

        Assert.Equal(
            string.Join('\n',
                "[1, 1, 1, 16, 0, 0, 0, 1, 0, 0, []]",
                "[2, 1, 3]",
                "[3, 1, 1, 2, 1001, b'one']",
                "[3, 1, 2, 2, 1002, 9000]",
                "[2, 300, 0]",
                $"[5, 7, 2, 1007, b'{Escape(MembershipCodec.Encode(Three))}', {mark.Length}]",
                "[4, 8]",
                "[3, 300, 8, 2, 1008, b'eight']",
                "[6, 2, 1, 70000]"),
            told.Trim());
    }

    [Fact]
    public void Python_reads_a_snapshot()
    {
        var disk = new DiskLogDirectory(_directory.Path);
        using (var store = SnapshotStore.Open(disk))
        using (var writer = store.Begin(new LogIndex(9), new Term(4), 5, Three))
        {
            writer.WriteFrame("znodes", new byte[200_000]);
            writer.WriteFrame("proposers", [1, 2, 3]);
            writer.Commit();
        }

        var told = RealMessagePack.Run(
            Crc32C +
            """

            unpacker = msgpack.Unpacker(raw=False)
            unpacker.feed(open(sys.argv[1], 'rb').read())
            head, *pieces, footer, end = list(unpacker)
            for data, crc in pieces: assert crc32c(data) == crc, 'chunk checksum'
            assert crc32c(footer[0]) == footer[1], 'footer checksum'
            mark = msgpack.unpackb(footer[0])
            print(head, len(pieces), mark[0], mark[1], mark[2], mark[4])
            frames = msgpack.Unpacker(raw=False)
            frames.feed(b''.join(data for data, crc in pieces))
            for section, data in frames: print(section, len(data))
            """,
            "", Directory.GetFiles(_directory.Path, "*.snapshot").Single());

        Assert.Equal("['RaftKit snapshot', 1] 4 9 4 5 200029\nznodes 200000\nproposers 3", told.Trim());
    }

    private static string Escape(byte[] bytes) => string.Concat(bytes.Select(b => b switch
    {
        (byte)'\t' => "\\t",
        (byte)'\n' => "\\n",
        (byte)'\r' => "\\r",
        >= 0x20 and < 0x7f => ((char)b).ToString(),
        _ => string.Create(CultureInfo.InvariantCulture, $"\\x{b:x2}"),
    }));
}
