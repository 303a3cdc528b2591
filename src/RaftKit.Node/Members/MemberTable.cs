using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>What the operators want of one member.</summary>
/// <param name="Endpoint">Where it listens.</param>
/// <param name="IsVoter">Whether it is to vote; else it only learns.</param>
/// <param name="Until">It stays until all of these vote, then leaves with the same change; null: it stays.</param>
internal sealed record WantedMember(string Endpoint, bool IsVoter, IReadOnlyList<MemberId>? Until = null);

/// <summary>
/// Who is to be a member, and where each listens: replicated, so that a change of the membership survives the leader that began it.
/// Commands change what is wanted; the leader's <see cref="MembershipKeeper"/> moves the membership towards it, one committed step at a
/// time. Empty until the first change: the members are then the founders, where each is configured to be. Deterministic; loop thread only.
/// </summary>
internal sealed class MemberTable
{
    private readonly SortedDictionary<MemberId, WantedMember> _wanted = [];
    private readonly SortedDictionary<MemberId, int> _lives = [];

    /// <summary>Counts what changed here or in the applied membership, for those who follow it.</summary>
    public long Version { get; private set; }

    /// <summary>Whether anybody ever asked for a change.</summary>
    public bool IsEmpty => _wanted.Count == 0;

    public IReadOnlyDictionary<MemberId, WantedMember> Wanted => _wanted;

    /// <summary>No life up to this one is given any more: a recovery epoch before this one may have given it, and nobody know.</summary>
    public int LastLifeBefore { get; set; }

    /// <summary>The last life that the log gave to this id; 0 if it never named it.</summary>
    public int LastLife(MemberId id) => _lives.GetValueOrDefault(id);

    /// <summary>The incarnation with which a member that is none now may enter: one that never voted or acknowledged.</summary>
    public int NextLife(MemberId id) => Math.Max(LastLife(id), LastLifeBefore) + 1;

    /// <summary>
    /// An observer with an empty directory gets a life that no other had: what an earlier one proposed is never taken for its own. No
    /// membership names it.
    /// </summary>
    /// <param name="observer">Who.</param>
    /// <param name="proposed">
    /// The last life under which it proposed here; a forced quorum may know of that, and not of the entry that gave it.
    /// </param>
    public int BeginLife(MemberId observer, int proposed = 0) => _lives[observer] = Math.Max(NextLife(observer), proposed + 1);

    /// <summary>Applies a change, or refuses it.</summary>
    /// <param name="change">What is asked.</param>
    /// <param name="applied">The membership as of this entry.</param>
    /// <returns>Why it is refused; null if it is not.</returns>
    public string? Apply(MembershipChange change, Membership applied)
    {
        var wanted = new SortedDictionary<MemberId, WantedMember>(_wanted);
        if (Judge(change, applied, wanted) is { } refusal)
            return refusal;
        foreach (var id in _wanted.Keys.Where(id => !wanted.ContainsKey(id)))
            NoteRemoved(id);
        _wanted.Clear();
        foreach (var (id, member) in wanted)
            _wanted.Add(id, member);
        Note(applied);
        return null;
    }

    /// <summary>Why a change would be refused as of now; null if it would not.</summary>
    public string? WhyRefused(MembershipChange change, Membership applied) =>
        Judge(change, applied, new SortedDictionary<MemberId, WantedMember>(_wanted));

    private string? Judge(MembershipChange change, Membership applied, SortedDictionary<MemberId, WantedMember> wanted)
    {
        if (wanted.Count == 0)
        {
            // Founders are to vote, also one that learns just now since it lost its disk: until here it would have been promoted as well.
            foreach (var id in applied.All)
                wanted[id] = new WantedMember(change.Known.GetValueOrDefault(id, ""), IsVoter: true);
        }
        // The operator's word: it was removed, and what it, or a copy of what it asked before that, asks of its own is not. A process that
        // asked two members would else come back by the later entry, under another life.
        if (change is MembershipChange.AddItself asked && !wanted.ContainsKey(asked.Id) && LastLife(asked.Id) > 0)
            return asked.WasRemoved;
        var members = wanted.Where(w => w.Value.Endpoint.Length > 0).ToDictionary(w => w.Key, w => w.Value.Endpoint);
        var count = wanted.Count;
        if (change.ApplyTo(wanted, applied) is { } refusal)
            return refusal;
        // Whoever comes finds it while that process runs, and neither finds the other after a restart of both.
        if (wanted.Count > count && WhyHidden(members) is { } hidden)
            return hidden;
        return wanted.Values.Any(w => w is { IsVoter: true, Until: null }) ? null : "Nobody would vote any more.";
    }

    private static string? WhyHidden(IReadOnlyDictionary<MemberId, string> members)
    {
        foreach (var (id, endpoint) in members)
        {
            if (NetworkAddress.WhyNotDialled(endpoint) is { } why)
            {
                return $"Member {id} is known at '{endpoint}', where nobody who is added could dial it: {why} Give member {id} its endpoint in its own Members, "
                    + $"restart it (its data stays), and ask again; if it is known there still, call IQuorumMembership.MoveAsync({id}, its endpoint) first.";
            }
        }
        return null;
    }

    // Also one that no membership ever named: it had no life, and counts as one that had.
    private void NoteRemoved(MemberId id) => _lives[id] = Math.Max(1, LastLife(id));

    /// <summary>A membership was applied: who only stayed for it is wanted no longer.</summary>
    public void Note(Membership applied)
    {
        Version++;
        foreach (var member in applied.Voters.Concat(applied.Learners).Concat(applied.Outgoing))
            _lives[member.Id] = Math.Max(_lives.GetValueOrDefault(member.Id), member.Incarnation);
        if (applied.IsJoint)
            return;
        foreach (var (id, left) in _wanted.Where(w => w.Value.Until is not null && !applied.IsVoter(w.Key)).ToList())
        {
            _wanted.Remove(id);
            NoteRemoved(id);
            // Who waited for it waits for those that it waited for: it was replaced before it ever voted.
            foreach (var (waiting, member) in _wanted.Where(w => w.Value.Until?.Contains(id) == true).ToList())
            {
                List<MemberId> until = [.. member.Until!.Concat(left.Until!).Where(u => u != id && u != waiting).Distinct().Order()];
                _wanted[waiting] = member with { Until = until.Count == 0 ? null : until };
            }
        }
    }

    public void WriteTo(IBufferWriter<byte> output)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(_wanted.Count);
        foreach (var (id, member) in _wanted)
        {
            writer.WriteArrayHeader(4);
            writer.Write(id.Value);
            writer.Write(member.Endpoint);
            writer.Write(member.IsVoter);
            if (member.Until is { } until)
                MemberCodec.WriteIds(ref writer, until);
            else
                writer.WriteNil();
        }
        writer.WriteArrayHeader(_lives.Count);
        foreach (var (id, life) in _lives)
        {
            writer.WriteArrayHeader(2);
            writer.Write(id.Value);
            writer.Write(life);
        }
        writer.Flush();
    }

    /// <summary>One that changes apart from this one.</summary>
    public MemberTable Copy()
    {
        var bytes = new ArrayBufferWriter<byte>();
        WriteTo(bytes);
        var copy = new MemberTable { LastLifeBefore = LastLifeBefore };
        copy.ReadFrom(bytes.WrittenMemory);
        return copy;
    }

    /// <summary>Takes a snapshot's table over; bytes of before there was one are empty.</summary>
    /// <returns>How many bytes that were.</returns>
    public long ReadFrom(ReadOnlyMemory<byte> bytes)
    {
        _wanted.Clear();
        _lives.Clear();
        Version++;
        if (bytes.IsEmpty)
            return 0;
        var reader = new MessagePackReader(bytes);
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            reader.ReadArrayHeader(4);
            var id = new MemberId(reader.ReadInt32());
            _wanted[id] = new WantedMember(
                reader.ReadRequiredString(), reader.ReadBoolean(), reader.TryReadNil() ? null : MemberCodec.ReadIds(ref reader));
        }
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            reader.ReadArrayHeader(2);
            _lives[new MemberId(reader.ReadInt32())] = reader.ReadInt32();
        }
        return reader.Consumed;
    }
}

/// <summary>Lists of members as bytes.</summary>
internal static class MemberCodec
{
    public static void WriteIds(ref MessagePackWriter writer, IReadOnlyCollection<MemberId> ids)
    {
        writer.WriteArrayHeader(ids.Count);
        foreach (var id in ids)
            writer.Write(id.Value);
    }

    public static List<MemberId> ReadIds(ref MessagePackReader reader)
    {
        var ids = new List<MemberId>();
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
            ids.Add(new MemberId(reader.ReadInt32()));
        return ids;
    }
}
