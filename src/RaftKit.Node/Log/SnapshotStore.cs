using System.Globalization;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Keeps the newest snapshot. A snapshot is written aside, fsynced, renamed, and the directory fsynced; only then do the ones before it go.
/// Any thread: the loop reads chunks for slow peers while the disk lane writes the next snapshot.
/// </summary>
internal sealed class SnapshotStore : IDisposable
{
    private const string Suffix = ".snapshot";
    private const string AsideSuffix = ".snapshot.tmp";

    private readonly Lock _lock = new();
    private readonly Lock _committing = new();
    private readonly ILogDirectory _directory;
    private SnapshotFile? _newest;
    private string? _newestName;
    private int _aside;

    private SnapshotStore(ILogDirectory directory) => _directory = directory;

    /// <summary>The newest whole snapshot; null if there is none.</summary>
    public SnapshotMark? Newest
    {
        get
        {
            lock (_lock)
                return _newest?.Mark;
        }
    }

    /// <summary>
    /// What was found to be corrupt when the store was opened; empty if nothing was. The log says whether the member can do without.
    /// </summary>
    public string Damage { get; private set; } = "";

    /// <summary>Reads every snapshot whole, newest first, until one is. Changes nothing.</summary>
    /// <exception cref="UnknownFormatException">A newer version wrote the newest.</exception>
    public static SnapshotStore Open(ILogDirectory directory)
    {
        var store = new SnapshotStore(directory);
        var names = new List<string>();
        foreach (var name in directory.List())
        {
            if (IsSnapshot(name))
                names.Add(name);
        }

        // Names are index and term in a fixed width: the last one is the newest.
        names.Sort(StringComparer.Ordinal);
        for (var i = names.Count - 1; i >= 0 && store._newest is null; i--)
            store.TryLoad(names[i]);
        return store;
    }

    /// <summary>One that was being written.</summary>
    public static bool IsAside(string name) => name.EndsWith(AsideSuffix, StringComparison.Ordinal);

    public static bool IsSnapshot(string name) => name.EndsWith(Suffix, StringComparison.Ordinal);

    public static bool IsUnfinished(string name) => name.EndsWith(AsideSuffix, StringComparison.Ordinal);

    /// <summary>
    /// Deletes what was never finished. Before the first <see cref="Begin(SnapshotMark)"/>, and only once the whole directory could be
    /// read.
    /// </summary>
    public void DeleteUnfinished()
    {
        foreach (var name in _directory.List().Where(IsUnfinished))
            _directory.Delete(name);
    }

    /// <summary>Begins a snapshot of the state after this entry.</summary>
    public SnapshotWriter Begin(LogIndex index, Term term, long stamp, Membership membership) =>
        Begin(new SnapshotMark(index, term, stamp, membership, 0));

    /// <summary>Begins a snapshot of the state that the mark names; its length is not known yet.</summary>
    public SnapshotWriter Begin(SnapshotMark mark)
    {
        // Two may be in the making at once: our own, and one that the leader sends.
        var name = string.Create(CultureInfo.InvariantCulture, $"{mark.Index.Value:D19}-{Interlocked.Increment(ref _aside)}{AsideSuffix}");
        var file = _directory.Create(name, 0);
        try
        {
            return new SnapshotWriter(this, file, mark);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Begins to receive another member's snapshot.</summary>
    public SnapshotReceiver BeginReceive(SnapshotMark mark) => new(Begin(mark), mark);

    /// <summary>
    /// Reads bytes of a snapshot, to send them. -1: this store no longer has that one; start over with <see cref="Newest"/>.
    /// </summary>
    /// <exception cref="LogCorruptException">They do not read back as they were written.</exception>
    public int Read(SnapshotMark mark, long offset, Span<byte> into)
    {
        lock (_lock)
        {
            if (_newest is null || !IsSame(_newest.Mark, mark))
                return -1;
            try
            {
                return _newest.Read(offset, into);
            }
            catch (MessagePackSerializationException wrong)
            {
                throw Corrupt(_newestName!, wrong);
            }
        }
    }

    /// <summary>The frames of the snapshot, in the order in which they were written.</summary>
    /// <exception cref="LogCorruptException">They do not read back as they were written.</exception>
    public IEnumerable<SnapshotFrame> OpenFrames(SnapshotMark mark)
    {
        for (long offset = 0; offset < mark.Length;)
            yield return ReadFrame(mark, ref offset);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _newest?.Dispose();
            _newest = null;
        }
    }

    /// <summary>The snapshot's file is written and synced: reads it back once, then gives it its name.</summary>
    /// <returns>The newest snapshot: this one, unless a newer one came meanwhile.</returns>
    internal SnapshotMark Commit(SnapshotWriter writer, SnapshotMark mark)
    {
        var aside = writer.FileName;
        var name = NameOf(mark);
        writer.Close();
        lock (_committing)
        {
            if (Newest is { } newest && newest.Index > mark.Index)
            {
                _directory.Delete(aside);
                return newest;
            }

            // Before anything that it replaces may go, and outside the lock that the loop's reads take.
            var whole = Load(aside);
            _directory.Rename(aside, name);
            _directory.Sync();
            lock (_lock)
            {
                _newest?.Dispose();
                _newest = whole;
                _newestName = name;
            }
            foreach (var older in _directory.List())
            {
                if (older.EndsWith(Suffix, StringComparison.Ordinal) && older != name)
                    _directory.Delete(older);
            }
            return mark;
        }
    }

    internal void Abort(SnapshotWriter writer) => _directory.Delete(writer.FileName);

    private static bool IsSame(SnapshotMark a, SnapshotMark b) => a.Index == b.Index && a.Term == b.Term && a.Length == b.Length;

    public static string NameOf(SnapshotMark mark) =>
        string.Create(CultureInfo.InvariantCulture, $"{mark.Index.Value:D19}-{mark.Term.Value:D19}{Suffix}");

    private SnapshotFrame ReadFrame(SnapshotMark mark, ref long offset)
    {
        lock (_lock)
        {
            if (_newest is null || !IsSame(_newest.Mark, mark))
                throw new InvalidOperationException($"The snapshot of entry {mark.Index} is no longer in {_directory.Location}.");
            try
            {
                return SnapshotFrames.Read(_newest, ref offset);
            }
            catch (MessagePackSerializationException wrong)
            {
                throw Corrupt(_newestName!, wrong);
            }
        }
    }

    private void TryLoad(string name)
    {
        try
        {
            var file = Load(name);
            if (name == NameOf(file.Mark))
            {
                _newest = file;
                _newestName = name;
                return;
            }
            file.Dispose();
            Damage += $"{name} is a snapshot of entry {file.Mark.Index} in term {file.Mark.Term}. ";
        }
        catch (LogCorruptException corrupt)
        {
            Damage += corrupt.Message + " ";
        }
    }

    private SnapshotFile Load(string name)
    {
        var file = _directory.Open(name);
        try
        {
            return SnapshotFile.Open(file);
        }
        catch (MessagePackSerializationException wrong)
        {
            file.Dispose();
            throw Corrupt(name, wrong);
        }
        catch (UnknownFormatException unknown)
        {
            file.Dispose();
            throw unknown.In(_directory.Location, name);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private LogCorruptException Corrupt(string name, MessagePackSerializationException wrong) =>
        new($"Snapshot {name} in {_directory.Location} is corrupt: {wrong.Message}.");
}
