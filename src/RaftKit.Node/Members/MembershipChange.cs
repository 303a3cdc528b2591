using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>A change of the membership as an operator asks for it: a command in the log, with a refusal or nothing as its result.</summary>
/// <param name="Known">Where the proposer believes the members of now to listen; counts while the table is empty.</param>
internal abstract record MembershipChange(IReadOnlyDictionary<MemberId, string> Known)
{
    /// <summary>A new member, which learns, and votes once it has caught up if it is to.</summary>
    public sealed record Add(IReadOnlyDictionary<MemberId, string> Known, MemberId Id, string Endpoint, bool IsVoter)
        : MembershipChange(Known)
    {
        protected override int Code => 1;

        public override bool IsSound => base.IsSound && IsMember(Id) && IsEndpoint(Endpoint);

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (wanted.TryGetValue(Id, out var known) && known.Endpoint != Endpoint)
                return $"Member {Id} is at {known.Endpoint} already, not at {Endpoint}. If it moved, use MoveAsync; else give the new one another id.";
            if (wanted.FirstOrDefault(w => w.Key != Id && w.Value.Endpoint == Endpoint) is { Value: not null } taken)
                return $"Member {taken.Key} listens at {Endpoint} already.";
            wanted[Id] = new WantedMember(Endpoint, IsVoter);
            if (!IsVoter)
                AwaitNoLonger(wanted, Id);
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer)
        {
            writer.Write(Id.Value);
            writer.Write(Endpoint);
            writer.Write(IsVoter);
        }
    }

    /// <summary>A member leaves.</summary>
    public sealed record Remove(IReadOnlyDictionary<MemberId, string> Known, MemberId Id) : MembershipChange(Known)
    {
        protected override int Code => 2;

        public override bool IsSound => base.IsSound && IsMember(Id);

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (!wanted.Remove(Id))
                return $"There is no member {Id}, only {string.Join(", ", wanted.Keys)}.";
            AwaitNoLonger(wanted, Id);
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer) => writer.Write(Id.Value);
    }

    /// <summary>From any set of voters to any other, in one joint change, once the new ones have caught up.</summary>
    public sealed record Set(IReadOnlyDictionary<MemberId, string> Known, IReadOnlyDictionary<MemberId, string> Voters)
        : MembershipChange(Known)
    {
        protected override int Code => 3;

        public override bool IsSound => base.IsSound && Voters.All(v => IsMember(v.Key) && IsEndpoint(v.Value));

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (Voters.Count == 0)
                return "Nobody would vote any more.";
            foreach (var (id, endpoint) in Voters)
            {
                if (wanted.TryGetValue(id, out var known) && known.Endpoint != endpoint)
                    return $"Member {id} is at {known.Endpoint} already, not at {endpoint}. If it moved, use MoveAsync; else give the new one another id.";
            }
            if (Voters.Values.Distinct(StringComparer.Ordinal).Count() != Voters.Count)
                return "Two members would listen at the same endpoint.";
            var news = Voters.Keys.Where(id => !wanted.TryGetValue(id, out var known) || !known.IsVoter).Order().ToList();
            foreach (var (id, member) in wanted.Where(w => !Voters.ContainsKey(w.Key)).ToList())
            {
                if (news.Count > 0 && member.IsVoter)
                    wanted[id] = member with { Until = news };
                else
                    wanted.Remove(id);
            }
            foreach (var (id, endpoint) in Voters)
                wanted[id] = new WantedMember(endpoint, true);
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer) => WriteEndpoints(ref writer, Voters);
    }

    /// <summary>One goes when the other votes, with the same change.</summary>
    public sealed record Replace(IReadOnlyDictionary<MemberId, string> Known, MemberId Old, MemberId New, string Endpoint)
        : MembershipChange(Known)
    {
        protected override int Code => 4;

        public override bool IsSound => base.IsSound && IsMember(Old) && IsMember(New) && IsEndpoint(Endpoint);

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (!wanted.TryGetValue(Old, out var old))
                return $"There is no member {Old}, only {string.Join(", ", wanted.Keys)}.";
            if (Old == New)
                return $"Member {Old} cannot replace itself. A member that lost its disk is replaced without being asked: start it with an empty directory.";
            if (applied.IsVoter(New) && wanted.TryGetValue(New, out var @new) && @new is { IsVoter: true, Until: null })
                return $"Member {New} votes already, so nobody would come in the place of member {Old}, and the quorum would be smaller. Use RemoveAsync to let member {Old} go.";
            if (wanted.FirstOrDefault(w => w.Key != Old && w.Value.Until?.Contains(New) == true) is { Value: not null } other)
                return $"Member {New} is to replace member {other.Key} already, so nobody would come in the place of member {Old}. Give another member, or use RemoveAsync to let member {Old} go.";
            if (new Add(Known, New, Endpoint, IsVoter: true).ApplyTo(wanted, applied) is { } refusal)
                return refusal;
            wanted[Old] = old with { Until = [New] };
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer)
        {
            writer.Write(Old.Value);
            writer.Write(New.Value);
            writer.Write(Endpoint);
        }
    }

    /// <summary>A member that learns is to vote once it has caught up.</summary>
    public sealed record Promote(IReadOnlyDictionary<MemberId, string> Known, MemberId Id) : MembershipChange(Known)
    {
        protected override int Code => 5;

        public override bool IsSound => base.IsSound && IsMember(Id);

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (!wanted.TryGetValue(Id, out var member))
                return $"There is no member {Id}, only {string.Join(", ", wanted.Keys)}. Use AddAsync to take it in.";
            // To promote it would take its replacement back, which nobody asked for.
            if (member.Until is { } until)
                return $"Member {Id} is to go once {string.Join(", ", until)} votes. Use AddAsync to keep it.";
            wanted[Id] = member with { IsVoter = true };
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer) => writer.Write(Id.Value);
    }

    /// <summary>
    /// A process asked a member to be added, as a voter (KIP-853's auto join). What operators want of its number stands: one that is wanted
    /// already stays as it is, one that was removed stays removed (<see cref="MemberTable"/> knows).
    /// </summary>
    /// <param name="Known">As for every change.</param>
    /// <param name="Id">Its number.</param>
    /// <param name="Endpoint">Where it says that it listens.</param>
    /// <param name="Features">What its process supports: judged against the levels as of the entry.</param>
    public sealed record AddItself(
        IReadOnlyDictionary<MemberId, string> Known, MemberId Id, string Endpoint, FeatureRanges Features) : MembershipChange(Known)
    {
        /// <summary>
        /// The most voters to which processes add themselves: beyond it each one makes commits slower, and two more losses that are tolerated are
        /// of no use to most. Operators may go on.
        /// </summary>
        public const int MostVoters = 7;

        // Of level 1 of the library's feature, as all kinds here: no version was released without it. One that is added after a release is
        // written only from a later level on (FeatureRanges.Library).
        protected override int Code => 6;

        public override bool IsSound => base.IsSound && IsMember(Id) && IsEndpoint(Endpoint);

        public string WasRemoved =>
            $"Member {Id} was removed, and who was removed does not add itself. Call IQuorumMembership.AddAsync({Id}, \"{Endpoint}\") on a member to let it in again, "
            + "or give this process a number that no member ever had.";

        /// <summary>Why it is not the member that is known to be at this endpoint; null if it may be.</summary>
        public string? WhyAnother(string known) => known.Length == 0 || NetworkAddress.AreSame(known, Endpoint) ? null
            : $"Member {Id} is at {known} already, and this process is at {Endpoint}. If it is another one, give it a number that no member has; "
                + $"if it is member {Id} at a new address, call IQuorumMembership.MoveAsync({Id}, \"{Endpoint}\") on a member.";

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (wanted.TryGetValue(Id, out var known))
                return WhyAnother(known.Endpoint);
            if (wanted.FirstOrDefault(w => NetworkAddress.AreSame(w.Value.Endpoint, Endpoint)) is { Value: not null } taken)
                return $"Member {taken.Key} listens at {Endpoint} already. Give this process an endpoint of its own.";
            // Who is to go once another votes in its place is counted as that one.
            if (wanted.Values.Count(w => w is { IsVoter: true, Until: null }) is var voters and >= MostVoters)
            {
                return $"There are {voters} members that vote or are to, and no process adds itself beyond {MostVoters}. Configure this one as an observer (Role, and a Member from {MemberId.GreatestMember + 1}), "
                    + $"remove a member that is gone, or call IQuorumMembership.AddAsync({Id}, \"{Endpoint}\") on a member.";
            }
            wanted[Id] = new WantedMember(Endpoint, IsVoter: true);
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer)
        {
            writer.Write(Id.Value);
            writer.Write(Endpoint);
            Features.WriteTo(ref writer);
        }
    }

    /// <summary>A member listens elsewhere from now on: the same one, with its disk and its life (KIP-853's UpdateRaftVoter).</summary>
    public sealed record Move(IReadOnlyDictionary<MemberId, string> Known, MemberId Id, string Endpoint) : MembershipChange(Known)
    {
        protected override int Code => 7;

        public override bool IsSound => base.IsSound && IsMember(Id) && IsEndpoint(Endpoint);

        public override string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied)
        {
            if (!wanted.TryGetValue(Id, out var member))
                return $"There is no member {Id}, only {string.Join(", ", wanted.Keys)}. Use AddAsync to take it in.";
            if (wanted.FirstOrDefault(w => w.Key != Id && NetworkAddress.AreSame(w.Value.Endpoint, Endpoint)) is { Value: not null } taken)
                return $"Member {taken.Key} listens at {Endpoint} already.";
            wanted[Id] = member with { Endpoint = Endpoint };
            return null;
        }

        protected override void WriteFields(ref MessagePackWriter writer)
        {
            writer.Write(Id.Value);
            writer.Write(Endpoint);
        }
    }

    protected abstract int Code { get; }

    /// <summary>
    /// Whether it names members that there can be, at endpoints that can be dialled: once it is in the log, every member dials them.
    /// </summary>
    public virtual bool IsSound =>
        // A quorum of one may be configured with port 0: what is known is not asked for.
        Known.All(k => IsMember(k.Key) && (k.Value.Length == 0 || NetworkAddress.TryParse(k.Value, out _)));

    /// <summary>Changes what is wanted.</summary>
    /// <param name="wanted">What was wanted before.</param>
    /// <param name="applied">The membership as of this entry.</param>
    /// <returns>Why not; what is wanted may then have changed already, and is to be dropped. Null if it has.</returns>
    public abstract string? ApplyTo(SortedDictionary<MemberId, WantedMember> wanted, Membership applied);

    public ReadOnlyMemory<byte> Encode()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(3);
        writer.Write(Code);
        WriteEndpoints(ref writer, Known);
        var fields = new ArrayBufferWriter<byte>();
        var inner = new MessagePackWriter(fields);
        WriteFields(ref inner);
        inner.Flush();
        writer.Write(fields.WrittenSpan);
        writer.Flush();
        return output.WrittenMemory;
    }

    /// <summary>The change that an entry asks for; null if it is anything else, or of a kind that this version does not know.</summary>
    public static MembershipChange? In(in Entry entry)
    {
        if (entry.Kind != EntryKind.Command)
            return null;
        var envelope = Envelope.Decode(entry);
        if (!envelope.Machine.Span.SequenceEqual(Applier.NodeName))
            return null;
        try
        {
            var reader = new MessagePackReader(envelope.Command);
            return reader.NextMessagePackType == MessagePackType.Array ? Decode(ref reader) : null;
        }
        catch (MessagePackSerializationException)
        {
            return null;
        }
    }

    /// <exception cref="MessagePackSerializationException">The bytes are no change that this version knows.</exception>
    public static MembershipChange Decode(ref MessagePackReader reader)
    {
        reader.ReadArrayHeader(3);
        var code = reader.ReadInt32();
        var known = ReadEndpoints(ref reader);
        var fields = new MessagePackReader(reader.ReadBytesMemory());
        return code switch
        {
            1 => new Add(known, new MemberId(fields.ReadInt32()), fields.ReadRequiredString(), fields.ReadBoolean()),
            2 => new Remove(known, new MemberId(fields.ReadInt32())),
            3 => new Set(known, ReadEndpoints(ref fields)),
            4 => new Replace(known, new MemberId(fields.ReadInt32()), new MemberId(fields.ReadInt32()), fields.ReadRequiredString()),
            5 => new Promote(known, new MemberId(fields.ReadInt32())),
            6 => new AddItself(known, new MemberId(fields.ReadInt32()), fields.ReadRequiredString(), ReadFeatures(ref fields)),
            7 => new Move(known, new MemberId(fields.ReadInt32()), fields.ReadRequiredString()),
            _ => throw new MessagePackSerializationException(
                $"A change of the membership has kind {code}, which this version does not know."),
        };
    }

    protected abstract void WriteFields(ref MessagePackWriter writer);

    private static bool IsMember(MemberId id) => id.Value is > 0 and <= MemberId.GreatestMember;

    private static bool IsEndpoint(string endpoint) => NetworkAddress.WhyNotDialled(endpoint) is null;

    // Nobody is to wait for one who no longer comes, or not as a voter.
    private static void AwaitNoLonger(SortedDictionary<MemberId, WantedMember> wanted, MemberId gone)
    {
        foreach (var (id, member) in wanted.Where(w => w.Value.Until?.Contains(gone) == true).ToList())
            wanted[id] = member with { Until = member.Until!.Count == 1 ? null : [.. member.Until.Where(u => u != gone)] };
    }

    private static FeatureRanges ReadFeatures(ref MessagePackReader reader)
    {
        try
        {
            return FeatureRanges.ReadFromPeer(ref reader);
        }
        catch (MalformedFrameException malformed)
        {
            throw new MessagePackSerializationException(malformed.Message);
        }
    }

    private static void WriteEndpoints(ref MessagePackWriter writer, IReadOnlyDictionary<MemberId, string> endpoints)
    {
        writer.WriteArrayHeader(endpoints.Count);
        foreach (var (id, endpoint) in endpoints.OrderBy(e => e.Key))
        {
            writer.WriteArrayHeader(2);
            writer.Write(id.Value);
            writer.Write(endpoint);
        }
    }

    private static SortedDictionary<MemberId, string> ReadEndpoints(ref MessagePackReader reader)
    {
        var endpoints = new SortedDictionary<MemberId, string>();
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            reader.ReadArrayHeader(2);
            endpoints[new MemberId(reader.ReadInt32())] = reader.ReadRequiredString();
        }
        return endpoints;
    }
}
