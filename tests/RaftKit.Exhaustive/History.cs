using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>
/// What has happened so far, as far as it binds what may still happen: who led which term, who gave which vote, what was committed, what
/// reads must see. Never changed; equal histories are one.
/// </summary>
internal sealed class History
{
    private readonly byte[] _leaders;
    private readonly byte[] _votes;
    private readonly sbyte[] _reads;

    private History(int number, byte[] leaders, byte[] votes, sbyte[] reads, (long Key, int Term)[] committed) =>
        (Number, _leaders, _votes, _reads, Committed) = (number, leaders, votes, reads, committed);

    public int Number { get; }

    /// <summary>Every entry that a leader ever committed, and the term in which it did.</summary>
    public (long Key, int Term)[] Committed { get; }

    /// <summary>What the member did, or why it must not have.</summary>
    private (History? Next, string? Broken) After(Book book, Member member, Fact fact)
    {
        int self = member.Core.Self.Value;
        switch (fact.Kind)
        {
            case FactKind.Leads:
                byte led = _leaders[fact.First];
                if (led != 0 && led != self)
                    return (null, $"members {led} and {self} both led term {fact.First} (invariant 1)");
                return led != 0 ? (this, null) : (book.With(Set(_leaders, fact.First, (byte)self), _votes, _reads, Committed), null);
            case FactKind.Voted:
                int at = (fact.First * 3) + self - 1;
                if (_votes[at] != 0 && _votes[at] != fact.Second)
                    return (null, $"member {self} voted for {_votes[at]} and for {fact.Second} in term {fact.First} (invariant 3)");
                return _votes[at] != 0 ? (this, null) : (book.With(_leaders, Set(_votes, at, (byte)fact.Second), _reads, Committed), null);
            case FactKind.Counted:
                if (Same(member, Math.Min(fact.First, Committed.Length)) is { } different)
                    return (null, different);
                if (fact.First <= Committed.Length)
                    return (this, null);
                var more = member.Log.Take(fact.First).Skip(Committed.Length).Select(key => (key, fact.Second));
                return (book.With(_leaders, _votes, _reads, [.. Committed, .. more]), null);
            case FactKind.Learned:
                if (fact.First > Committed.Length)
                    return (null,
                        $"member {self} commits {fact.First}, and no leader ever committed more than {Committed.Length} (invariant 6)");
                return Same(member, fact.First) is { } other ? (null, other) : (this, null);
            case FactKind.Answered:
                if (fact.Second < _reads[fact.First])
                    return (null,
                        $"read {fact.First} is answered with index {fact.Second}, and {_reads[fact.First]} was committed when it was asked (invariant 15)");
                return (book.With(_leaders, _votes, Set(_reads, fact.First, (sbyte)-1), Committed), null);
            default:
                throw new NotSupportedException($"{fact}");
        }
    }

    private string? Same(Member member, int upTo)
    {
        for (int i = 0; i < upTo; i++)
        {
            if (member.Log[i] != Committed[i].Key)
                return $"member {member.Core.Self} commits entry {i + 1} of term {Member.TermOf(member.Log[i])}, and one of term {Member.TermOf(Committed[i].Key)} was committed there (invariants 7, 8)";
        }
        return null;
    }

    private static T[] Set<T>(T[] array, int at, T value)
    {
        var copy = (T[])array.Clone();
        copy[at] = value;
        return copy;
    }

    /// <summary>All histories there are.</summary>
    internal sealed class Book
    {
        // Terms go up with elections and with pre-votes' answers only: this is far more than any bounds lead to.
        private const int MostTerms = 16;

        private readonly List<History> _all = [];
        private readonly Dictionary<(ulong, ulong), int> _numbers = [];
        private readonly Dictionary<long, (int Next, string? Broken)> _after = [];

        public Book() => With(new byte[MostTerms], new byte[MostTerms * 3], [-1, -1, -1, -1, -1, -1, -1, -1], []);

        public int Count => _all.Count;

        public History this[int number] => _all[number];

        /// <summary>The history once the member did this, which its outcome tells.</summary>
        public (int Next, string? Broken) After(int history, Outcome outcome, Member member)
        {
            if (outcome.Facts.Length == 0)
                return (history, null);
            long key = ((long)history << 32) | (uint)outcome.Number;
            if (_after.TryGetValue(key, out var known))
                return known;
            var now = _all[history];
            foreach (var fact in outcome.Facts)
            {
                var (next, broken) = now.After(this, member, fact);
                if (broken is not null)
                    return _after[key] = (-1, broken);
                now = next!;
            }
            return _after[key] = (now.Number, null);
        }

        /// <summary>A read is asked: it must see all that is committed by now.</summary>
        public int Asked(int history, int read)
        {
            var now = _all[history];
            return With(now._leaders, now._votes, Set(now._reads, read, (sbyte)now.Committed.Length), now.Committed).Number;
        }

        internal History With(byte[] leaders, byte[] votes, sbyte[] reads, (long Key, int Term)[] committed)
        {
            var hash = new Hash128();
            hash.Add(leaders);
            hash.Add(votes);
            foreach (sbyte read in reads)
                hash.Add(read);
            foreach (var (key, term) in committed)
            {
                hash.Add(key);
                hash.Add(term);
            }
            if (_numbers.TryGetValue(hash.Value, out int known))
                return _all[known];
            _numbers[hash.Value] = _all.Count;
            _all.Add(new History(_all.Count, leaders, votes, reads, committed));
            return _all[^1];
        }
    }
}
