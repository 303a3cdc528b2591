using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.TestKit;

/// <summary>
/// What every member's tree must be at every index. The first member that applies an entry tells what it made of it; all others, also after
/// snapshots and replays, must come to the same. What clients read and hear is then held against this one history.
/// </summary>
internal sealed class TreeOracle(SimulatedWorld world)
{
    private const int SequenceDigits = 10;

    private readonly Dictionary<long, ulong> _digests = [];
    private readonly List<TreeChange> _changes = [];
    private readonly Dictionary<string, List<NodeVersion>> _nodes = [];
    private readonly Dictionary<long, SessionFate> _sessions = [];
    private readonly Dictionary<string, long> _sequences = [];
    private readonly Dictionary<string, List<Written>> _written = [];

    /// <summary>Every change, in the order of the log.</summary>
    public ReadOnlySpan<TreeChange> Changes => CollectionsMarshal.AsSpan(_changes);

    /// <summary>Every path that ever was.</summary>
    public IEnumerable<string> Paths => _nodes.Keys;

    /// <summary>The last entry that anybody applied.</summary>
    public long Zxid { get; private set; }

    public int SessionsExpired { get; private set; }

    /// <summary>Which sessions the log ended, and where.</summary>
    public IEnumerable<(long Session, long Zxid)> Ends => _sessions.Where(s => s.Value.Ended != 0).Select(s => (s.Key, s.Value.Ended));

    /// <summary>
    /// Where every value that is ever written is another, so that one which comes twice shows a request that was applied twice; null:
    /// clients are not known, who may also give znodes names that look as if they were numbered.
    /// </summary>
    public Func<string, bool>? IsWrittenOnce { get; set; }

    /// <summary>Hears of a session that the log ended, once.</summary>
    public Action<Session, SessionEnd>? Expired { get; set; }

    /// <summary>Whether no entry that anybody applied has ended the session.</summary>
    public bool IsAlive(long session) => _sessions.TryGetValue(session, out var fate) && fate.Ended == 0;

    /// <summary>
    /// An operator forced a new quorum: what was applied behind this zxid is given up, and other entries may stand there.
    /// </summary>
    public void QuorumForced(long zxid)
    {
        foreach (var lost in _digests.Keys.Where(z => z > zxid).ToArray())
            _digests.Remove(lost);
        _changes.RemoveAll(change => change.Zxid > zxid);
        foreach (var (path, versions) in _nodes.ToArray())
        {
            versions.RemoveAll(version => version.Zxid > zxid);
            if (versions.Count == 0)
                _nodes.Remove(path);
        }
        foreach (var (session, fate) in _sessions.ToArray())
        {
            if (fate.Opened > zxid)
                _sessions.Remove(session);
            else if (fate.Ended > zxid)
                _sessions[session] = fate with { Ended = 0 };
        }
        foreach (var (value, writes) in _written.ToArray())
        {
            writes.RemoveAll(write => write.Zxid > zxid);
            if (writes.Count == 0)
                _written.Remove(value);
        }
        // Numbers are given again.
        _sequences.Clear();
        Zxid = Math.Min(Zxid, zxid);
    }

    /// <summary>A member applied an entry, and changed this by it.</summary>
    public void Applied(
        MemberId member, long zxid, ZnodeStateMachine machine, List<TreeChange> changes, Session? opened, Session? ended, SessionEnd cause,
        long before)
    {
        Require(zxid > before, 24, $"member {member} applied {zxid:x} after {before:x}");
        world.Telling?.Invoke(world[member], zxid, machine);
        // An observer that a forced quorum left behind plays what it holds again when it starts: no longer anybody's history (seed 519).
        if (world[member].IsLeftBehind)
            return;
        Agree(member, zxid, machine);
        if (ended is not null)
        {
            var left = machine.Tree.CountEphemeralsOf(ended.Id);
            Require(left == 0, 20, $"session {ended.Id:x} ended at {zxid:x} on member {member}, and {left} of its ephemerals are left");
        }
        if (zxid <= Zxid)
            return;
        Zxid = zxid;
        foreach (var change in changes)
        {
            Require(change.Zxid == zxid, 24, $"member {member} changed {change.Path} under {change.Zxid:x} by the entry of {zxid:x}");
            Note(member, machine, change);
        }
        if (opened is not null)
            Require(_sessions.TryAdd(opened.Id, new SessionFate(zxid)), 21,
                $"session id {opened.Id:x} was given a second time, at {zxid:x}");
        if (ended is not null)
        {
            Require(_sessions.TryGetValue(ended.Id, out var fate) && fate.Ended == 0, 21,
                $"session {ended.Id:x} ended at {zxid:x}, and had ended before");
            _sessions[ended.Id] = fate with { Ended = zxid };
            world.Trace.Event(member, $"applies first that session {ended.Id:x} of member {ended.Member} ended: {cause}");
            if (cause != SessionEnd.Closed)
                SessionsExpired++;
            Expired?.Invoke(ended, cause);
        }
    }

    /// <summary>
    /// A multi was applied: all of its parts, in their order, or, if one was refused, nothing at all.
    /// </summary>
    public void AppliedMulti(
        MemberId member, long zxid, ZnodeStateMachine machine, IReadOnlyList<TreeCommand> parts, in TreeResult result,
        List<TreeChange> changes, bool isChanged)
    {
        world.Telling?.Invoke(world[member], zxid, machine);
        if (world[member].IsLeftBehind)
            return;
        if (result.Error != ZnodeError.None)
        {
            Require(changes.Count == 0 && !isChanged, 27,
                $"a multi at {zxid:x} on member {member} was refused with {result.Error}, and changed the tree");
            return;
        }
        var wanted = parts.Where(part => part is not TreeCommand.Check).ToList();
        var all = wanted.Count == changes.Count && wanted.Zip(changes).All(pair => pair.Second.Zxid == zxid && pair.First switch
        {
            TreeCommand.Create create =>
                pair.Second.Kind == TreeChangeKind.Created && pair.Second.Path.StartsWith(create.Path, StringComparison.Ordinal),
            TreeCommand.Set set => pair.Second.Kind == TreeChangeKind.DataChanged && pair.Second.Path == set.Path,
            TreeCommand.Delete delete => pair.Second.Kind == TreeChangeKind.Deleted && pair.Second.Path == delete.Path,
            _ => false,
        });
        Require(all, 27,
            $"a multi at {zxid:x} on member {member} was to do [{string.Join(", ", wanted)}], and did [{string.Join(", ", changes)}]");
    }

    /// <summary>A member's state was replaced by a snapshot's.</summary>
    public void Restored(MemberId member, long zxid, ZnodeStateMachine machine)
    {
        world.Telling?.Invoke(world[member], zxid, machine);
        // What a forced quorum gave up is on its disk still.
        if (world[member].IsLeftBehind)
            return;
        foreach (var path in _nodes.Keys)
        {
            if (machine.Tree.TryGetStat(path, out var stat) && stat.EphemeralOwner != 0)
            {
                Require(machine.Sessions.TryGet(stat.EphemeralOwner, out _), 19,
                    $"member {member} restored {path} at {zxid:x}, an ephemeral of session {stat.EphemeralOwner:x}, which it does not know");
            }
        }
        Agree(member, zxid, machine);
        // Whoever captured it had applied all of it.
        Require(zxid <= Zxid, 18, $"member {member} restored a state at {zxid:x} that nobody has come to");
    }

    /// <summary>Whether members came to this very state there.</summary>
    public bool Knows(long zxid, ZnodeStateMachine machine) => _digests.TryGetValue(zxid, out var known) && known == DigestOf(machine);

    /// <summary>Holds what a client read against the state at the zxid that it claims.</summary>
    public void CheckRead(string who, string path, Znode? read, long zxid)
    {
        if (world.IsAside)
            return;
        if (read is not null)
            zxid = read.Zxid;
        Require(zxid <= Zxid, 37, $"{who} read {path} at {zxid:x}, which nobody has applied");
        var expected = At(path, zxid);
        if (read is null)
            return;
        Require(expected is { Exists: true }, 37, $"{who} read {path} at {zxid:x}, where it does not exist");
        if (expected is not { Exists: true } node)
            return;
        Require(node.Stat == read.Stat, 25, $"{who} read {path} at {zxid:x} with {read.Stat}, it has {node.Stat}");
        Require(node.Data.Span.SequenceEqual(read.Data.Span), 37, $"{who} read other data of {path} at {zxid:x} than was written");
    }

    /// <summary>Holds a copy of the whole tree that a client was given in place of the history against the state at its zxid.</summary>
    public void CheckState(string who, WatchCompactedException copy)
    {
        if (world.IsAside)
            return;
        foreach (var znode in copy.State)
            CheckRead(who, znode.Path, znode, copy.Zxid);
        var there = _nodes.Keys.Count(path => path != "/" && At(path, copy.Zxid) is { Exists: true });
        var copied = copy.State.Count(znode => znode.Path != "/");
        Require(there == copied, 37, $"{who} was given {copied} znodes as the state at {copy.Zxid:x}, where there are {there}");
    }

    /// <summary>All that a znode ever was, in the order of the log.</summary>
    public IReadOnlyList<NodeVersion> VersionsOf(string path) => _nodes.TryGetValue(path, out var versions) ? versions : [];

    /// <summary>Whether the znode existed, and how, when an entry was applied.</summary>
    public NodeVersion? At(string path, long zxid)
    {
        if (!_nodes.TryGetValue(path, out var versions))
            return null;
        for (var i = versions.Count - 1; i >= 0; i--)
        {
            if (versions[i].Zxid <= zxid)
                return versions[i];
        }
        return null;
    }

    /// <summary>Where a value was written to a znode of this path, or of one that a sequence number was appended to.</summary>
    public IReadOnlyList<Written> WritesOf(string path, string data) =>
        _written.TryGetValue(data, out var all) ? [.. all.Where(write => write.Path.StartsWith(path, StringComparison.Ordinal))] : [];

    private static ulong DigestOf(ZnodeStateMachine machine)
    {
        var digest = machine.Tree.Digest;
        foreach (var session in machine.Sessions.All)
        {
            // A sum, because the order in which a member enumerates its sessions means nothing.
            var hash = new StableHash();
            hash.Add(session.Id);
            hash.Add(session.LastActive.Value);
            hash.Add(session.SpentMilliseconds);
            hash.Add(session.Member.Value);
            digest += hash.Value;
        }
        return digest;
    }

    private void Agree(MemberId member, long zxid, ZnodeStateMachine machine)
    {
        var digest = DigestOf(machine);
        if (!_digests.TryAdd(zxid, digest))
            Require(_digests[zxid] == digest, 18, $"member {member} has another state at {zxid:x} than the first member that applied it");
    }

    private void Note(MemberId member, ZnodeStateMachine machine, in TreeChange change)
    {
        _changes.Add(change);
        var exists = machine.Tree.TryGet(change.Path, out var data, out var stat);
        Add(change.Path, new NodeVersion(change.Zxid, exists, data, stat));
        if (change.ParentPath is { } parent && machine.Tree.TryGet(parent, out var parentData, out var parentStat))
            Add(parent, new NodeVersion(change.Zxid, true, parentData, parentStat));
        if (exists && change.Kind != TreeChangeKind.Deleted)
            NoteWritten(member, Encoding.UTF8.GetString(data.Span), new Written(change.Path, change.Zxid, world.Scheduler.Now.Ticks * 100));
        if (IsWrittenOnce is not null)
            CheckSequence(change);
        if (exists && stat.EphemeralOwner != 0)
        {
            var fate = _sessions.GetValueOrDefault(stat.EphemeralOwner);
            Require(fate.Opened != 0 && fate.Ended == 0, 19,
                $"member {member} has {change.Path} at {change.Zxid:x}, an ephemeral of session {stat.EphemeralOwner:x}, which is not alive");
        }
    }

    /// <summary>What a parent numbers grows for as long as the parent lives, whatever was deleted meanwhile.</summary>
    private void CheckSequence(in TreeChange change)
    {
        if (change.Kind == TreeChangeKind.Deleted)
            _sequences.Remove(change.Path);
        if (change.Kind != TreeChangeKind.Created || change.Path.Length <= SequenceDigits || change.Path[^(SequenceDigits + 1)] != '-'
            || !long.TryParse(
                change.Path.AsSpan(change.Path.Length - SequenceDigits), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return;
        var parent = change.ParentPath!;
        if (_sequences.TryGetValue(parent, out var last))
            Require(number > last, 26, $"{change.Path} was given the number {number} at {change.Zxid:x}, and {last} was given before");
        _sequences[parent] = number;
    }

    /// <summary>
    /// Clients write every value once: one that comes twice is a request that was applied twice. A multi may write a znode it has just
    /// written.
    /// </summary>
    private void NoteWritten(MemberId member, string value, in Written write)
    {
        if (!_written.TryGetValue(value, out var all))
            _written.Add(value, all = []);
        else if (IsWrittenOnce?.Invoke(write.Path) == true)
            Require(all[0].Zxid == write.Zxid, 33,
                $"member {member} wrote '{value}' to {write.Path} at {write.Zxid:x}, and it was written at {all[0].Zxid:x} before");
        all.Add(write);
    }

    private void Add(string path, in NodeVersion version)
    {
        if (!_nodes.TryGetValue(path, out var versions))
            _nodes.Add(path, versions = []);
        // A multi may change a znode several times under one zxid; only what it left is ever seen.
        if (versions.Count > 0 && versions[^1].Zxid == version.Zxid)
            versions[^1] = version;
        else
            versions.Add(version);
    }

    private void Require(
        bool fact, int invariant,
        [System.Runtime.CompilerServices.InterpolatedStringHandlerArgument(nameof(fact))] ref InvariantMessage what)
    {
        if (!fact)
            world.Violate($"invariant {invariant}: {what.ToString()}");
    }

    private readonly record struct SessionFate(long Opened, long Ended = 0);
}

/// <summary>A znode from one zxid on.</summary>
internal readonly record struct NodeVersion(long Zxid, bool Exists, ReadOnlyMemory<byte> Data, ZnodeStat Stat);
