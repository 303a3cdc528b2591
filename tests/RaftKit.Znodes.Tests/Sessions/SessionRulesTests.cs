using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Sessions;

/// <summary>What the log alone decides (invariants 18 to 25 of the reliability page).</summary>
public sealed class SessionRulesTests
{
    private static readonly MemberId One = new(1);
    private static readonly ProposerId Host = new(One, 1, 5);

    private readonly ZnodeStateMachine _machine = new(new ZnodeTree());
    private long _index;

    [Fact]
    public void Ids_name_the_member_and_are_never_given_twice()
    {
        var ids = new HashSet<long>();
        for (var i = 0; i < 100; i++)
        {
            var id = Open();
            Assert.True(ids.Add(id));
            Assert.Equal(1, id >> 56);
            Apply(SessionCommand.Close(id));
        }
    }

    [Fact]
    public void The_timeout_is_clamped_the_same_on_every_member()
    {
        Apply(SessionCommand.Open(0, One, Host, default));
        Apply(SessionCommand.Open(int.MaxValue, One, Host, default));
        Assert.Equal(
            [SessionCommand.MinTimeoutMilliseconds, SessionCommand.MaxTimeoutMilliseconds],
            _machine.Sessions.All.Select(s => s.TimeoutMilliseconds));
    }

    [Fact]
    public void A_command_of_an_ended_session_is_refused_and_an_ended_id_never_revives()
    {
        var id = Open();
        Apply(SessionCommand.Close(id));

        Assert.Equal(ZnodeError.SessionExpired, Create(id, "/a").Single.Error);
        Assert.Equal(0, Int(Apply(SessionCommand.Reattach(id, new MemberId(2), Password))));
        Assert.False(Bool(Apply(SessionCommand.Close(id))));
        Assert.False(Bool(Apply(SessionCommand.Expire(id, new LogIndex(_index), SessionEnd.Silence, null))));
        Apply(SessionCommand.Checkpoint(new LogIndex(_index), [new SessionCheckpoint(id, 100, false)]));
        Assert.Equal(0, _machine.Sessions.Count);
        Assert.Equal(1, _machine.Tree.Count);
    }

    [Fact]
    public void A_multi_of_an_ended_session_is_refused_in_the_form_of_a_multi()
    {
        var multi = new TreeCommand.Multi([new TreeCommand.Create("/a", default), new TreeCommand.Create("/b", default)]);
        var reader = new MessagePackReader(Apply(SessionCommand.Tree(77, multi, 64)));
        var result = TreeCommandCodec.ReadResult(ref reader, multi: true);
        Assert.Equal(ZnodeError.SessionExpired, result.Error);
        Assert.Equal(1, _machine.Tree.Count);
    }

    [Fact]
    public void Any_number_of_ephemerals_goes_with_one_small_entry()
    {
        var id = Open();
        var other = Open();
        for (var i = 0; i < 5000; i++)
            Assert.Equal(ZnodeError.None, Create(id, $"/ephemeral-with-a-long-name-{i}", CreateMode.Ephemeral).Single.Error);
        Create(other, "/mine", CreateMode.Ephemeral);
        var close = SessionCommand.Close(id);

        Apply(close);

        Assert.True(close.Length < 32);
        Assert.Equal(2, _machine.Tree.Count);
        Assert.True(_machine.Tree.TryGetStat("/mine", out var mine));
        Assert.Equal(other, mine.EphemeralOwner);
    }

    [Theory]
    [InlineData((byte)SessionEnd.Silence)]
    [InlineData((byte)SessionEnd.HostRefused)]
    public void An_expiry_stands_unless_the_log_shows_the_session_active_after_it_was_judged(byte because)
    {
        var cause = (SessionEnd)because;
        var quiet = Open();
        var active = Open();
        var moved = OpenGuest();
        var asOf = new LogIndex(_index);
        Create(active, "/a");
        Apply(SessionCommand.Reattach(moved, new MemberId(2), Password));

        Assert.True(Bool(Apply(SessionCommand.Expire(quiet, asOf, cause, null))));
        Assert.False(Bool(Apply(SessionCommand.Expire(active, asOf, cause, null))));
        Assert.False(Bool(Apply(SessionCommand.Expire(moved, asOf, cause, null))));

        Assert.Equal([active, moved], _machine.Sessions.All.Select(s => s.Id));
        Assert.True(Bool(Apply(SessionCommand.Expire(active, new LogIndex(_index), cause, null))));
    }

    [Fact]
    public void A_refused_command_shows_life_like_any_other()
    {
        var id = Open();
        var asOf = new LogIndex(_index);
        Assert.Equal(ZnodeError.NoNode, Create(id, "/no/parent").Single.Error);

        Assert.False(Bool(Apply(SessionCommand.Expire(id, asOf, SessionEnd.Silence, null))));
    }

    [Fact]
    public void Proof_of_death_ends_only_sessions_that_live_in_that_start_or_an_older_one()
    {
        var own = Open();
        var guest = Id(Apply(SessionCommand.Open(4000, One, null, new byte[16])));
        foreach (var (session, died) in new[]
                 {
                     (own, Host with { Boot = 4 }), (own, Host with { Member = new MemberId(2) }),
                     (own, Host with { Incarnation = 0, Boot = 9 }),
                     (guest, Host),
                 })
        {
            Assert.False(Bool(Apply(SessionCommand.Expire(session, new LogIndex(_index), SessionEnd.HostDied, died))));
        }

        Create(own, "/later");
        Assert.True(Bool(Apply(SessionCommand.Expire(own, LogIndex.Zero, SessionEnd.HostDied, Host))));
        Assert.Equal([guest], _machine.Sessions.All.Select(s => s.Id));
    }

    [Fact]
    public void A_checkpoint_counts_unless_the_session_was_active_after_it_was_judged()
    {
        var silent = Open();
        var active = Open();
        var asOf = new LogIndex(_index);
        Create(active, "/a");
        Apply(SessionCommand.Checkpoint(asOf, [new SessionCheckpoint(silent, 1000, true), new SessionCheckpoint(active, 1000, true)]));

        Assert.True(_machine.Sessions.TryGet(silent, out var one) && one is { SpentMilliseconds: 1000, Extended: true });
        Assert.True(_machine.Sessions.TryGet(active, out var two) && two is { SpentMilliseconds: 0, Extended: false });

        Create(silent, "/b");
        Assert.True(one is { SpentMilliseconds: 0, Extended: false });
    }

    [Fact]
    public void A_snapshot_holds_the_moment_it_was_begun_and_restores_to_the_same_digests()
    {
        for (var i = 0; i < 3000; i++)
            Create(Open(), $"/e{i}", CreateMode.Ephemeral);
        var first = _machine.Sessions.All.First();
        Apply(SessionCommand.Checkpoint(new LogIndex(_index), [new SessionCheckpoint(first.Id, 500, true)]));
        var (sessions, tree, zxid) = (_machine.Sessions.Digest, _machine.Tree.Digest, _machine.Zxid);
        var context = Context();

        using var capture = _machine.Capture();
        var copy = new ZnodeStateMachine(new ZnodeTree());
        var restorer = copy.BeginRestore();
        var frame = new ArrayBufferWriter<byte>();
        var frames = 0;
        bool more;
        do
        {
            // Applying goes on between the slices.
            Apply(SessionCommand.Close(_machine.Sessions.All.Last().Id));
            Create(first.Id, $"/more{frames}");
            frame.ResetWrittenCount();
            more = capture.WriteSlice(frame);
            restorer.Frame(frame.WrittenSpan.ToArray());
            frames++;
        }
        while (more);
        restorer.Complete(context);

        Assert.True(frames > 4);
        Assert.Equal((sessions, tree, zxid), (copy.Sessions.Digest, copy.Tree.Digest, copy.Zxid));
        Assert.NotEqual(sessions, _machine.Sessions.Digest);
        // It goes on as the original would have.
        Assert.True(
            copy.Sessions.TryGet(first.Id, out var restored) && restored is { SpentMilliseconds: 500, Extended: true, Host: { Boot: 5 } });
    }

    [Fact]
    public void A_session_is_taken_up_by_its_password_alone_and_a_hosts_own_by_nobody()
    {
        var guest = OpenGuest();
        var hosts = Open();
        var two = new MemberId(2);
        var wrong = Password.ToArray();
        wrong[15] ^= 1;

        Assert.Equal(0, Int(Apply(SessionCommand.Reattach(guest, two, wrong))));
        Assert.Equal(0, Int(Apply(SessionCommand.Reattach(guest, two, Password.AsSpan(0, 15)))));
        Assert.Equal(0, Int(Apply(SessionCommand.Reattach(guest, two, default))));
        Assert.Equal(0, Int(Apply(SessionCommand.Reattach(hosts, two, default))));
        Assert.Equal(0, Int(Apply(SessionCommand.Reattach(hosts, two, Password))));
        Assert.All(_machine.Sessions.All, s => Assert.Equal(One, s.Member));

        Assert.Equal(4000, Int(Apply(SessionCommand.Reattach(guest, two, Password))));
        Assert.True(_machine.Sessions.TryGet(guest, out var moved) && moved.Member == two);
    }

    [Fact]
    public void A_wrong_password_is_no_sign_of_life()
    {
        var guest = OpenGuest();
        var asOf = new LogIndex(_index);
        Apply(SessionCommand.Reattach(guest, new MemberId(2), new byte[16]));

        Assert.True(Bool(Apply(SessionCommand.Expire(guest, asOf, SessionEnd.Silence, null))));
    }

    [Fact]
    public void What_comes_through_the_member_that_a_session_has_left_is_refused_and_closes_nothing()
    {
        var guest = OpenGuest();
        Apply(SessionCommand.Reattach(guest, new MemberId(2), Password));
        var late = new TreeCommand.Create("/late", default);

        var single = new MessagePackReader(Apply(SessionCommand.Tree(guest, late, 64, One)));
        Assert.Equal(ZnodeError.SessionMoved, TreeCommandCodec.ReadResult(ref single, multi: false).Single.Error);
        var multi = new MessagePackReader(Apply(SessionCommand.Tree(guest, new TreeCommand.Multi([late]), 64, One)));
        Assert.Equal(ZnodeError.SessionMoved, TreeCommandCodec.ReadResult(ref multi, multi: true).Error);
        Assert.False(Bool(Apply(SessionCommand.Close(guest, One))));
        Assert.False(_machine.Tree.TryGetStat("/late", out _));

        Assert.True(Bool(Apply(SessionCommand.Close(guest, new MemberId(2)))));
    }

    [Fact]
    public void A_command_of_a_newer_version_stops_the_member_with_its_kind()
    {
        var broken = Assert.Throws<InvariantBrokenException>(() => { Apply(new byte[] { 0x91, 99 }); });
        Assert.Contains("kind 99", broken.Message);
    }

    private static readonly byte[] Password = [.. Enumerable.Range(1, SessionCommand.PasswordLength).Select(i => (byte)i)];

    private long Open() => Id(Apply(SessionCommand.Open(4000, One, Host, default)));

    private TreeResult Create(long session, string path, CreateMode mode = CreateMode.Persistent)
    {
        var reader = new MessagePackReader(Apply(SessionCommand.Tree(session, new TreeCommand.Create(path, default, mode), 64)));
        return TreeCommandCodec.ReadResult(ref reader, multi: false);
    }

    private CommandContext Context() => new(new LogIndex(_index), new Term(1), 1000 + _index, _index);

    private ReadOnlyMemory<byte> Apply(ReadOnlyMemory<byte> command)
    {
        _index++;
        var result = new ArrayBufferWriter<byte>();
        _machine.Apply(Context(), command, result);
        return result.WrittenMemory;
    }

    private static long Id(ReadOnlyMemory<byte> result)
    {
        var reader = new MessagePackReader(result);
        reader.ReadArrayHeader(2);
        return reader.ReadInt64();
    }

    private long OpenGuest() => Id(Apply(SessionCommand.Open(4000, One, null, Password)));

    private static int Int(ReadOnlyMemory<byte> result)
    {
        var reader = new MessagePackReader(result);
        return reader.ReadInt32();
    }

    private static bool Bool(ReadOnlyMemory<byte> result)
    {
        var reader = new MessagePackReader(result);
        return reader.ReadBoolean();
    }
}
