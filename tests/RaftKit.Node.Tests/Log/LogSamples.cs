using System.Globalization;
using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>Batches and entries as the scenes need them.</summary>
internal static class LogSamples
{
    /// <summary>Segments of two pages and more: everything rolls over soon.</summary>
    public static readonly SegmentedLogOptions Tiny = new() { SegmentBytes = 8 << 10, PrepareBytes = 4 << 10 };

    public static readonly SegmentedLogOptions Small = new() { SegmentBytes = 64 << 10, PrepareBytes = 16 << 10 };

    public static readonly Membership Three = new(
        [new(new MemberId(1), 1), new(new MemberId(2), 1), new(new MemberId(3), 2)], [new(new MemberId(4), 1)], []);

    /// <summary>Makes it a member's: without an identity, no start goes on with what is there.</summary>
    public static void Name(ILogDirectory disk) =>
        IdentityFile.Write(
            disk, new DirectoryIdentity(new MemberId(2), 1, 4, new Guid("01234567-89ab-cdef-0123-456789abcdef"), [new(1), new(2), new(3)]));

    public static LogBatch Batch(long term, int vote, params Entry[] entries) =>
        new() { Term = new Term(term), Vote = new MemberId(vote), Entries = entries };

    public static Entry Entry(long index, long term, string text) =>
        new(new Term(term), new LogIndex(index), EntryKind.Command, 1000 + index, System.Text.Encoding.UTF8.GetBytes(text));

    public static Entry Noise(long index, long term, int length, Random random)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return new(new Term(term), new LogIndex(index), EntryKind.Command, index, bytes);
    }

    public static string[] Tell(IEnumerable<Entry> entries) => [.. entries.Select(e =>
        string.Create(CultureInfo.InvariantCulture, $"{e.Index}/{e.Term} {System.Text.Encoding.UTF8.GetString(e.Payload.Span)}"))];

    public static List<Entry> ReadAll(SegmentedLog log)
    {
        var read = new List<Entry>();
        if (log.First < log.Next)
            log.Read(log.First, log.Next.Previous, int.MaxValue, read);
        return read;
    }

    public static SnapshotMark TakeSnapshot(ILogDirectory disk, long index, long term, int bytes = 100)
    {
        using var store = SnapshotStore.Open(disk);
        return TakeSnapshot(store, index, term, bytes);
    }

    public static SnapshotMark TakeSnapshot(SnapshotStore store, long index, long term, int bytes = 100)
    {
        using var writer = store.Begin(new LogIndex(index), new Term(term), 1000 + index, Three);
        writer.WriteFrame("znodes", new byte[bytes]);
        return writer.Commit();
    }
}
