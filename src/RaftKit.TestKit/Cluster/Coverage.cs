using System.Globalization;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Sessions;

namespace RaftKit.TestKit;

/// <summary>What a process asks of its disk; each can fail by itself.</summary>
internal enum DiskCall
{
    Lock,
    List,
    Exists,
    Create,
    Open,
    Rename,
    Delete,
    SyncNames,
    Write,
    Read,
    Sync,
}

/// <summary>
/// Which messages were heard, which calls to the disk failed, and which ways sessions took: a sweep in which one of these never happened
/// has not tested what it claims to. What there is comes from the enumerations themselves, so that whatever is added to them is wanted here
/// from then on.
/// </summary>
internal sealed class Coverage
{
    private static readonly FrameKind[] Kinds = Enum.GetValues<FrameKind>();
    private static readonly DiskCall[] Calls = Enum.GetValues<DiskCall>();

    private static readonly SessionEnd[] Ends = Enum.GetValues<SessionEnd>();

    // Nothing is lost on a link before its first word; and what a handshake loses is a link that does not come up.
    private static readonly FrameKind[] Disturbed =
        [.. Kinds.Where(kind => kind is > FrameKind.Goodbye and not FrameKind.StartJudged)];

    // All others rely on a link's order.
    private static readonly FrameKind[] Raft = [.. Disturbed.Where(kind => kind <= FrameKind.ObserveReply)];

    private static readonly MenuItem[] Menu = Enum.GetValues<MenuItem>();

    private readonly long[] _dropped = new long[Kinds.Max(kind => (int)kind) + 1];
    private readonly long[] _delayed = new long[Kinds.Max(kind => (int)kind) + 1];
    private readonly long[] _duplicated = new long[Kinds.Max(kind => (int)kind) + 1];
    private readonly long[] _reordered = new long[Kinds.Max(kind => (int)kind) + 1];
    private readonly long[] _menu = new long[Menu.Length];
    private readonly long[] _heard = new long[Kinds.Max(kind => (int)kind) + 1];
    private readonly long[] _failed = new long[Calls.Length];
    private readonly long[] _ended = new long[Ends.Max(end => (int)end) + 1];
    private long _spared;

    /// <summary>Each with its name in the summary line.</summary>
    public IEnumerable<(string Name, long Count)> All =>
    [
        .. Kinds.Select(kind => ($"message_{Name(kind)}", _heard[(int)kind])),
        .. Calls.Select(call => ($"eio_{Name(call)}", _failed[(int)call])),
        .. Ends.Select(end => ($"session_{Name(end)}", _ended[(int)end])),
        ("session_spared", _spared),
        .. Disturbed.Select(kind => ($"drop_{Name(kind)}", _dropped[(int)kind])),
        .. Disturbed.Select(kind => ($"delay_{Name(kind)}", _delayed[(int)kind])),
        .. Raft.Select(kind => ($"duplicate_{Name(kind)}", _duplicated[(int)kind])),
        .. Raft.Select(kind => ($"reorder_{Name(kind)}", _reordered[(int)kind])),
        .. Menu.Select(item => (SnakeCase(item.ToString()), _menu[(int)item])),
    ];

    public SnapshotFlights Snapshots => field ??= new SnapshotFlights(this);

    /// <summary>A message, or a frame of the link's own, reached its member. The kind is always the second byte of its body.</summary>
    public void Heard(ReadOnlySpan<byte> body) => _heard[body[1]]++;

    public void Dropped(ReadOnlySpan<byte> body) => _dropped[body[1]]++;

    public void Delayed(ReadOnlySpan<byte> body) => _delayed[body[1]]++;

    public void Duplicated(ReadOnlySpan<byte> body) => _duplicated[body[1]]++;

    public void Reordered(ReadOnlySpan<byte> body) => _reordered[body[1]]++;

    public void Struck(MenuItem item, long times = 1) => _menu[(int)item] += times;

    public void Failed(DiskCall call) => _failed[(int)call]++;

    public void Ended(SessionEnd end) => _ended[(int)end]++;

    public void Spared() => _spared++;

    public void Add(Coverage other)
    {
        Sum(_heard, other._heard);
        Sum(_failed, other._failed);
        Sum(_ended, other._ended);
        Sum(_dropped, other._dropped);
        Sum(_delayed, other._delayed);
        Sum(_duplicated, other._duplicated);
        Sum(_reordered, other._reordered);
        Sum(_menu, other._menu);
        _spared += other._spared;
    }

    private static void Sum(long[] into, long[] counts)
    {
        for (var i = 0; i < into.Length; i++)
            into[i] += counts[i];
    }

    private static string SnakeCase(string name) =>
        string.Concat(name.Select((letter, at) => (at > 0 && char.IsUpper(letter) ? "_" : "") + char.ToLowerInvariant(letter)));

    private static string Name<T>(T value)
        where T : struct, Enum => value.ToString().ToLower(CultureInfo.InvariantCulture);
}
