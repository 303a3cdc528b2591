using System.Text;
using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>
/// One member: its core, its disk, and a state machine that is the list of commands applied. Does what a node's loop does.
/// </summary>
internal sealed class TestMember
{
    private readonly TestCluster _cluster;
    private readonly Func<RaftCoreOptions, RaftCoreOptions> _configure;
    private Membership _initial;
    private uint _boot;
    private SnapshotMark? _incoming;
    private byte[] _received = [];
    private SnapshotChunk? _toInstall;
    private TestDisk? _copy;

    public TestMember(TestCluster cluster, MemberId id, Membership initial, Func<RaftCoreOptions, RaftCoreOptions> configure)
    {
        (_cluster, Id, _initial, _configure) = (cluster, id, initial, configure);
        Start();
    }

    public MemberId Id { get; }

    public TestDisk Disk { get; private set; } = new();

    public RaftCore Core { get; private set; } = null!;

    public bool IsUp { get; private set; }

    /// <summary>Writes stay on their way until it is released.</summary>
    public bool DiskHeld { get; set; }

    /// <summary>A snapshot that has arrived stays aside until <see cref="FinishInstall"/>.</summary>
    public bool InstallHeld { get; set; }

    /// <summary>The next chunk of a snapshot arrives with bytes that are not those that were sent.</summary>
    public bool DamagesNextChunk { get; set; }

    /// <summary>This member's wall clock, in milliseconds.</summary>
    public long Now { get; set; }

    /// <summary>Counts the lives of this member: another one begins with an empty disk.</summary>
    public int Life { get; private set; } = 1;

    /// <summary>It started from an old copy of its disk, and its peers know better: no link to it is let up (promise 4).</summary>
    public bool IsRolledBack { get; private set; }

    /// <summary>The commands applied, in order: the state.</summary>
    public List<string> State { get; } = [];

    public List<ReadGrant> Reads { get; } = [];

    /// <summary>Why this observer must stop; null if nobody said so.</summary>
    public string? Diverged { get; private set; }

    public int Turns { get; private set; }

    /// <summary>What the machine's clock shows; it runs on while the member is down.</summary>
    public TimeSpan Clock { get; set; } = TimeSpan.FromHours(1);

    public void Start()
    {
        IsUp = true;
        _boot++;
        State.Clear();
        State.AddRange(Disk.SnapshotState);
        Reads.Clear();
        (_incoming, _received, _toInstall) = (null, [], null);
        var options = _configure(
            new RaftCoreOptions { Self = Id, Seed = (_cluster.Seed * 1000) + (ulong)Id.Value, Incarnation = Life, Boot = _boot });
        if (Id.IsObserver)
            options = options with { Seeds = [.. _cluster.Initial.All] };
        if (_boot > 1)
            options = options with { PromisedUntil = Clock + options.VoterPromise };
        Core = new RaftCore(options, Disk.Restore(_initial), Disk);
        _cluster.Restarted(this);
    }

    public void Crash(int writesThatSurvive = 0)
    {
        IsUp = false;
        Disk.Crash(writesThatSurvive);
        DiskHeld = false;
    }

    /// <summary>The disk is empty: with the next start another life begins, which no membership names yet.</summary>
    public void Wipe()
    {
        Crash();
        (Disk, _initial, IsRolledBack) = (new TestDisk(), Membership.Empty, false);
        Life++;
    }

    /// <summary>Starts anew with what this disk holds.</summary>
    public void StartFrom(TestDisk disk)
    {
        Disk = disk;
        Start();
    }

    /// <summary>Crashes, and finds at the next start that these entries, and what is behind them, are not what was written.</summary>
    public void Rot(LogIndex from)
    {
        Crash();
        Disk.Rot(from);
    }

    public void CopyDisk() => _copy = Disk.Copy();

    /// <summary>The disk is as it was when it was copied.</summary>
    public void RollBack()
    {
        Crash();
        (Disk, IsRolledBack) = (_copy!.Copy(), true);
    }

    /// <summary>One turn of the loop: the inputs, then what they lead to.</summary>
    public void Turn(Action<RaftCore> inputs)
    {
        if (!IsUp)
            return;
        Turns++;
        Core.TimeIs(Clock);
        inputs(Core);
        CarryOut();
        if (!DiskHeld)
            CompleteWrites();
    }

    public void CompleteWrites()
    {
        while (IsUp && Disk.Writes.Count > 0)
            CompleteOneWrite();
    }

    public void CompleteOneWrite()
    {
        var write = Disk.CompleteOne();
        foreach (var message in write.Held)
            _cluster.Send(message);
        if (write.Request is { } request)
        {
            Turns++;
            Core.Persisted(request);
            CarryOut();
        }
    }

    public void TakeSnapshot(long keep)
    {
        var index = Core.Applied;
        if (index <= Core.SnapshotIndex)
            return;
        var entries = new List<Entry>();
        Core.Log.Read(index, index, 1, entries);
        var mark = new SnapshotMark(index, entries[0].Term, entries[0].Stamp, MembershipAt(index), Bytes(State).Length);
        Disk.TakeSnapshot(mark, State, LogIndex.Max(LogIndex.Zero, LogIndex.Min(index, Core.Durable) - keep).Next);
        Turn(core => core.SnapshotTaken(mark, keep));
    }

    /// <summary>The newest membership at or before the index.</summary>
    private Membership MembershipAt(LogIndex index)
    {
        var membership = Disk.Snapshot?.Membership ?? _initial;
        for (var i = Core.FirstIndex; i <= index; i = i.Next)
        {
            var one = new List<Entry>();
            Core.Log.Read(i, i, 1, one);
            if (one[0].Kind == EntryKind.Membership)
                membership = MembershipCodec.Decode(one[0].Payload.Span);
        }
        return membership;
    }

    private void CarryOut()
    {
        Core.EndTurn();
        var effects = Core.Effects;
        bool again = false;
        if (effects.Persist is not null || effects.MessagesOncePersisted.Count > 0)
        {
            if (effects.Persist is null && Disk.Writes.Count == 0)
            {
                foreach (var message in effects.MessagesOncePersisted)
                    _cluster.Send(message);
            }
            else
            {
                Disk.Writes.Enqueue(
                    new TestDisk.Write(effects.Persist, effects.TruncateFrom, [.. effects.Append], [.. effects.MessagesOncePersisted]));
            }
        }
        else
        {
            Assert.Null(effects.TruncateFrom);
            Assert.Empty(effects.Append);
        }
        foreach (var message in effects.Messages)
            _cluster.Send(message);
        foreach (var send in effects.SnapshotSends)
            SendChunk(send);
        Reads.AddRange(effects.Reads);
        Diverged ??= effects.Diverged;
        List<SnapshotChunk> chunks = [.. effects.SnapshotWrites];
        effects.Clear();
        Apply();
        foreach (var chunk in chunks)
        {
            WriteChunk(chunk);
            again = true;
        }
        _cluster.AfterTurn(this);
        if (again)
            CarryOut();
    }

    private void Apply()
    {
        while (Core.Applied < Core.Commit)
        {
            List<Entry> entries = [];
            Core.ReadCommitted(Core.Applied.Next, 4096, entries);
            Assert.NotEmpty(entries);
            foreach (var entry in entries)
            {
                Assert.Equal(Core.Applied.Next, entry.Index);
                _cluster.Applied(this, entry);
                if (entry.Kind == EntryKind.Command)
                    State.Add(Encoding.UTF8.GetString(entry.Payload.Span));
                Core.AppliedTo(entry.Index);
            }
        }
    }

    private void SendChunk(SnapshotSend send)
    {
        // The file of an older snapshot is gone once a newer one stands.
        if (Disk.Snapshot != send.Snapshot)
            return;
        var bytes = Bytes(Disk.SnapshotState);
        int length = (int)Math.Min(send.MaxBytes, bytes.Length - send.Offset);
        _cluster.Send(new SnapshotChunk
        {
            From = Id, To = send.To, Term = send.Term, Snapshot = send.Snapshot, Offset = send.Offset,
            Data = bytes.AsMemory((int)send.Offset, length), Checksum = 0,
        });
    }

    private void WriteChunk(SnapshotChunk chunk)
    {
        if (_incoming != chunk.Snapshot || chunk.Offset == 0)
            (_incoming, _received) = (chunk.Snapshot, []);
        Assert.Equal(_received.Length, chunk.Offset);
        if (DamagesNextChunk)
        {
            DamagesNextChunk = false;
            Core.SnapshotChunkWritten(chunk.From, chunk.Term, chunk.Snapshot.Index, _received.Length);
            return;
        }
        _received = [.. _received, .. chunk.Data.Span];
        Core.SnapshotChunkWritten(chunk.From, chunk.Term, chunk.Snapshot.Index, _received.Length);
        if (chunk.IsLast && InstallHeld)
            _toInstall = chunk;
        else if (chunk.IsLast)
            Install(chunk);
    }

    /// <summary>The state machines took over the snapshot that was kept aside.</summary>
    public void FinishInstall()
    {
        InstallHeld = false;
        if (!IsUp || _toInstall is not { } chunk)
            return;
        _toInstall = null;
        Install(chunk);
        Turn(_ => { });
    }

    private void Install(SnapshotChunk chunk)
    {
        // Everything handed to the disk before is written first, as the log's queue would.
        while (Disk.Writes.Count > 0)
            CompleteOneWrite();
        var state = Commands(_received);
        Disk.Install(chunk.Snapshot, state);
        State.Clear();
        State.AddRange(state);
        _cluster.Installed(this, chunk.Snapshot);
        Core.SnapshotInstalled(chunk.Snapshot, chunk.From);
    }

    private static List<string> Commands(byte[] bytes) => bytes.Length == 0 ? [] : [.. Encoding.UTF8.GetString(bytes).Split('\n')];

    private static byte[] Bytes(IReadOnlyList<string> state) => Encoding.UTF8.GetBytes(string.Join('\n', state));
}
