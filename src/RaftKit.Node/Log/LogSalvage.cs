using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>What is left of one record in pages that are not whole.</summary>
/// <param name="Kind">What it is, where that can be told.</param>
/// <param name="Body">Its body behind the kind, when its own checksum holds; empty otherwise.</param>
/// <param name="Bytes">How many bytes it took, or may have taken.</param>
/// <param name="BehindEntry">
/// An entry of the same batch stands before it, so it is neither a vote nor a cut: the order of records in a batch says so.
/// </param>
internal readonly record struct SalvagedRecord(RecordKind? Kind, ReadOnlyMemory<byte> Body, int Bytes, bool BehindEntry)
{
    /// <summary>Its own checksum holds.</summary>
    public bool IsWhole => !Body.IsEmpty;
}

/// <summary>
/// Reads the records of pages whose checksum does not hold: most of them are as they were written, and say so by their own. Of an entry
/// that is not, only that it stood there is told, and only where everything else about it fits. From the first place where it cannot be
/// told what is what, nothing more is said but how many bytes there are.
/// </summary>
internal sealed class LogSalvage
{
    /// <summary>No entry's record is shorter: its frame, and a body of the least that the format allows.</summary>
    public const int ShortestEntry = 12;

    private readonly byte[] _payload;
    private readonly int _unreadable;
    private readonly bool _isOneBatch;
    private int _at;
    private bool _behindEntry;
    private bool _done;

    public LogSalvage(SegmentScan scan, ScannedPiece piece)
    {
        var pages = new List<byte[]>();
        for (var page = piece.FirstPage; page < piece.FirstPage + piece.Pages && scan.ReadDamaged(page) is { } payload; page++)
            pages.Add(payload);
        _payload = [.. pages.SelectMany(p => p)];
        _unreadable = (piece.Pages - pages.Count) * PageFormat.PayloadPerPage;
        _isOneBatch = Enumerable.Range(piece.FirstPage + 1, piece.Pages - 1).All(scan.GoesOn);
    }

    /// <summary>The next record.</summary>
    /// <param name="expected">The index that an entry here must have; null when that is not known.</param>
    /// <returns>Null at the end.</returns>
    /// <exception cref="UnknownFormatException">A newer version wrote it.</exception>
    public SalvagedRecord? Next(LogIndex? expected)
    {
        SkipPadding();
        if (_done)
            return null;
        if (_at == _payload.Length)
            return _unreadable > 0 ? GiveUp() : null;

        var rest = _payload.AsMemory(_at);
        var records = new MessagePackReader(rest);
        try
        {
            records.ReadArrayHeader(2);
            var body = records.ReadBytesMemory();
            var expectedSum = records.ReadUInt32();
            var length = (int)records.Consumed;
            if (Crc32C.Of(body.Span) == expectedSum)
            {
                records = new MessagePackReader(rest);
                var inner = RecordReader.Open(ref records, out var kind);
                return Take(kind, body[(int)inner.Consumed..], length);
            }
            if (IsEntry(body, expected))
                return Take(RecordKind.Entry, default, length);
        }
        catch (MessagePackSerializationException)
        {
            // Told below.
        }
        return GiveUp();
    }

    // Both lengths, of the record and of what it carries, must agree: where one was hit, others that follow would be taken for a part of
    // it.
    private static bool IsEntry(ReadOnlyMemory<byte> body, LogIndex? expected)
    {
        var reader = new MessagePackReader(body);
        if (reader.ReadArrayHeader() != 6 || reader.ReadByte() != (byte)RecordKind.Entry || expected is null)
            return false;
        reader.ReadInt64();
        var index = reader.ReadInt64();
        reader.ReadByte();
        reader.ReadInt64();
        reader.ReadBytesMemory();
        return reader.End && index == expected.Value.Value;
    }

    private SalvagedRecord Take(RecordKind kind, ReadOnlyMemory<byte> body, int length)
    {
        var record = new SalvagedRecord(kind, body, length, _behindEntry);
        _at += length;
        _behindEntry |= kind == RecordKind.Entry;
        return record;
    }

    private SalvagedRecord GiveUp()
    {
        _done = true;
        // Records do not begin with zeros: behind the last byte that is none there is no further one.
        var written = _payload.AsSpan(_at).LastIndexOfAnyExcept((byte)0) + 1;
        return new SalvagedRecord(null, default, written + _unreadable, _behindEntry && _isOneBatch && _unreadable == 0);
    }

    // A batch's last page is zeros to its end; the next batch begins with a page.
    private void SkipPadding()
    {
        while (_at < _payload.Length)
        {
            var left = PageFormat.PayloadPerPage - (_at % PageFormat.PayloadPerPage);
            var rest = _payload.AsSpan(_at, left);
            var written = left - rest.Count((byte)0);
            // A single byte among many zeros is no record: a bit flipped there.
            if (written > (left >= ShortestEntry ? 1 : 0))
                return;
            _at += left;
            _behindEntry = false;
        }
    }
}
