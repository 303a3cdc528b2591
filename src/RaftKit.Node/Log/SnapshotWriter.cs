using System.Buffers;
using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>
/// Writes a snapshot aside, chunk by chunk. It is nothing until <see cref="Commit"/> returned: then it is durable, the newest, and the ones
/// before it are gone. One thread at a time.
/// </summary>
internal sealed class SnapshotWriter : IDisposable
{
    // Synced as it grows, so that the last fsync has little left to carry and the log's own syncs in between stay short.
    private const long SyncEvery = 4 << 20;

    private readonly SnapshotStore _store;
    private readonly ILogFile _file;
    private readonly byte[] _data = new byte[SnapshotFile.ChunkSize];
    private readonly byte[] _framed = new byte[SnapshotFile.ChunkSize + SnapshotFile.ChunkOverhead];
    private readonly ArrayBufferWriter<byte> _head = new(64);
    private int _filled;
    private long _chunks;
    private long _unsynced;
    private bool _ended;

    internal SnapshotWriter(SnapshotStore store, ILogFile file, SnapshotMark mark)
    {
        _store = store;
        _file = file;
        Mark = mark;
        file.Write(0, SnapshotFile.Head);
    }

    /// <summary>What it covers; its length is not known before <see cref="Commit"/>.</summary>
    public SnapshotMark Mark { get; }

    /// <summary>How many bytes of the snapshot were written.</summary>
    public long Length => _chunks * SnapshotFile.ChunkSize + _filled;

    internal string FileName => _file.Name;

    /// <summary>Writes one frame of a section. The frames of a section are given back in this order.</summary>
    public void WriteFrame(string section, ReadOnlySpan<byte> bytes)
    {
        _head.ResetWrittenCount();
        SnapshotFrames.Write(section, bytes.Length, _head);
        Write(_head.WrittenSpan);
        Write(bytes);
    }

    /// <summary>Writes bytes of the snapshot: frames, as another member's store gave them.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        while (!bytes.IsEmpty)
        {
            var count = Math.Min(bytes.Length, _data.Length - _filled);
            bytes[..count].CopyTo(_data.AsSpan(_filled));
            bytes = bytes[count..];
            _filled += count;
            if (_filled == _data.Length)
            {
                WriteChunk();
                _chunks++;
                _filled = 0;
            }
        }
    }

    /// <summary>Makes it durable and the newest, and deletes the ones before it.</summary>
    /// <returns>The newest snapshot: this one, unless a newer one was committed meanwhile; then this one is dropped.</returns>
    public SnapshotMark Commit()
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        var mark = Mark with { Length = Length };
        if (_filled > 0)
            WriteChunk();
        _file.Write(SnapshotFile.FooterOffset(mark.Length), SnapshotFile.MakeFooter(mark));
        _file.Sync();
        _ended = true;
        return _store.Commit(this, mark);
    }

    /// <summary>Gives it up: as if it had never been begun.</summary>
    public void Abort()
    {
        if (_ended)
            return;
        _ended = true;
        Close();
        _store.Abort(this);
    }

    public void Dispose() => Abort();

    internal void Close() => _file.Dispose();

    private void WriteChunk()
    {
        var length = SnapshotFile.FrameChunk(_data.AsSpan(0, _filled), _framed);
        _file.Write(SnapshotFile.ChunkOffset(_chunks), _framed.AsSpan(0, length));
        _unsynced += length;
        if (_unsynced >= SyncEvery)
        {
            _file.Sync();
            _unsynced = 0;
        }
    }
}

/// <summary>
/// Takes a snapshot that another member sends, piece by piece in order. After a lost link it goes on at <see cref="NextOffset"/>; a start
/// of the process begins anew.
/// </summary>
internal sealed class SnapshotReceiver : IDisposable
{
    private readonly SnapshotWriter _writer;
    private readonly SnapshotMark _mark;

    internal SnapshotReceiver(SnapshotWriter writer, SnapshotMark mark)
    {
        _writer = writer;
        _mark = mark;
    }

    public SnapshotMark Mark => _mark;

    /// <summary>The offset wanted next.</summary>
    public long NextOffset => _writer.Length;

    public bool IsComplete => NextOffset == _mark.Length;

    /// <summary>
    /// Writes a piece; what is already here is passed over. False: it leaves a gap or goes beyond the end, and nothing was written.
    /// </summary>
    public bool Write(long offset, ReadOnlySpan<byte> bytes)
    {
        if (offset < 0 || offset > NextOffset || bytes.Length > _mark.Length - offset)
            return false;
        var known = NextOffset - offset;
        if (known < bytes.Length)
            _writer.Write(bytes[(int)known..]);
        return true;
    }

    /// <summary>Makes it durable and the newest. Everything must be here.</summary>
    public SnapshotMark Complete()
    {
        Invariant.Holds(IsComplete, $"a snapshot of {_mark.Length} bytes was completed after {NextOffset}");
        return _writer.Commit();
    }

    public void Abort() => _writer.Abort();

    public void Dispose() => _writer.Dispose();

    internal void Close() => _writer.Close();
}
