using System.Collections;
using System.Numerics;
using System.Reflection;
using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>
/// Copies and hashes a core with everything that hangs on it, field by field, so that nothing that a role remembers can be forgotten here:
/// a field that is added to the core tomorrow is copied and told apart from tomorrow on. The core itself needs no copying for it.
/// </summary>
internal static class ObjectGraph
{
    private const BindingFlags Own = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly Func<object, object> Shallow =
        typeof(object).GetMethod("MemberwiseClone", BindingFlags.Instance | BindingFlags.NonPublic)!.CreateDelegate<Func<object, object>>();

    private static readonly FieldInfo RingEntries = Field(typeof(EntryRing), "_entries");
    private static readonly FieldInfo RingTotals = Field(typeof(EntryRing), "_totals");
    private static readonly FieldInfo RingHead = Field(typeof(EntryRing), "_head");
    private static readonly FieldInfo RingBefore = Field(typeof(EntryRing), "_totalBefore");

    // A copy of what the log holds anyway, kept for the next peer.
    private static readonly FieldInfo Slice = Field(typeof(LogView), "_slice");

    private static readonly Dictionary<Type, Shape> Shapes = [];

    /// <summary>A field by its name; where it no longer exists, what leans on it must be thought through again.</summary>
    public static FieldInfo Field(Type type, string name) =>
        type.GetField(name, Own)
            ?? throw new MissingFieldException($"{type.Name} has no field {name} any more: bring tests/RaftKit.Exhaustive up to date.");

    public static RaftCore Copy(RaftCore core) =>
        (RaftCore)Copy(core, new Dictionary<object, object>(32, ReferenceEqualityComparer.Instance));

    /// <summary>Adds everything that the object's behaviour depends on.</summary>
    public static void Hash(object root, ref Hash128 hash) =>
        Hash(root, new Dictionary<object, int>(32, ReferenceEqualityComparer.Instance), ref hash);

    private static object Copy(object one, Dictionary<object, object> done)
    {
        var type = one.GetType();
        if (IsShared(type))
            return one;
        if (done.TryGetValue(one, out var known))
            return known;
        var copy = one is EntryRing ring ? Compact(ring) : Shallow(one);
        done[one] = copy;
        if (copy is object?[] items)
        {
            for (int i = 0; i < items.Length; i++)
            {
                if (items[i] is { } item)
                    items[i] = Copy(item, done);
            }
        }
        else if (one is not Array and not EntryRing)
        {
            foreach (var field in ShapeOf(type).Owned)
            {
                if (field.GetValue(one) is { } inner)
                    field.SetValue(copy, Copy(inner, done));
            }
        }
        return copy;
    }

    // Room for 64 entries each would be most of what a state takes.
    private static EntryRing Compact(EntryRing ring)
    {
        var copy = (EntryRing)Shallow(ring);
        int count = (int)((ring.Last - ring.First) + 1);
        int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(count, 2));
        var (entries, totals) = (new Entry[capacity], new long[capacity]);
        long before = (long)RingBefore.GetValue(ring)!;
        for (int i = 0; i < count; i++)
            (entries[i], totals[i]) = (ring[ring.First + i], before + ring.BytesBetween(ring.First.Previous, ring.First + i));
        RingEntries.SetValue(copy, entries);
        RingTotals.SetValue(copy, totals);
        RingHead.SetValue(copy, 0);
        return copy;
    }

    private static void Hash(object? one, Dictionary<object, int> seen, ref Hash128 hash)
    {
        switch (one)
        {
            case null: hash.Add(-1); return;
            case bool value: hash.Add(value ? 1 : 0); return;
            case byte value: hash.Add(value); return;
            case int value: hash.Add(value); return;
            case uint value: hash.Add(value); return;
            case long value: hash.Add(value); return;
            case ulong value: hash.Add((long)value); return;
            case Enum value: hash.Add(Convert.ToInt64(value, null)); return;
            case TimeSpan value: hash.Add(value.Ticks); return;
            case LogIndex value: hash.Add(value.Value); return;
            case Term value: hash.Add(value.Value); return;
            case MemberId value: hash.Add(value.Value); return;
            case ReadOnlyMemory<byte> value: hash.Add(value.Span); return;
            // What is configured is the same in every state, but for the boot number, which the member's own state has.
            case RaftCoreOptions or IEntryReader: return;
            // Its draws only set timers, and timers are events here.
            case SeededRandom: return;
            default: break;
        }
        var type = one.GetType();
        if (!type.IsValueType)
        {
            if (seen.TryGetValue(one, out int number))
            {
                hash.Add(number);
                return;
            }
            seen[one] = seen.Count;
        }
        switch (one)
        {
            case EntryRing ring:
                hash.Add(ring.First.Value);
                for (var index = ring.First; index <= ring.Last; index = index.Next)
                    Hash(ring[index], seen, ref hash);
                return;
            case bool[] flags:
                for (int i = 0; i < flags.Length; i++)
                {
                    if (flags[i])
                        hash.Add(i);
                }
                hash.Add(flags.Length);
                return;
            case object?[] sparse:
                for (int i = 0; i < sparse.Length; i++)
                {
                    if (sparse[i] is not { } item)
                        continue;
                    hash.Add(i);
                    Hash(item, seen, ref hash);
                }
                hash.Add(sparse.Length);
                return;
            case IEnumerable items:
                int count = 0;
                foreach (var item in items)
                {
                    Hash(item, seen, ref hash);
                    count++;
                }
                hash.Add(count);
                return;
            default:
                var shape = ShapeOf(type);
                hash.Add(shape.Number);
                foreach (var field in shape.All)
                    Hash(field.GetValue(one), seen, ref hash);
                return;
        }
    }

    private static Shape ShapeOf(Type type)
    {
        if (Shapes.TryGetValue(type, out var known))
            return known;
        List<FieldInfo> all = [];
        for (var level = type; level is not null && level != typeof(object); level = level.BaseType)
            all.AddRange(level.GetFields(Own).OrderBy(f => f.Name, StringComparer.Ordinal));
        all.Remove(Slice);
        foreach (var field in all.Where(f => f.FieldType.IsValueType))
            RequirePlain(field.FieldType);
        var number = new Hash128();
        number.Add(System.Text.Encoding.UTF8.GetBytes(type.ToString()));
        return Shapes[type] = new Shape(
            (long)number.Value.A, [.. all], [.. all.Where(f => !f.FieldType.IsValueType && !IsShared(f.FieldType))]);
    }

    // A struct is copied bit by bit: what it refers to would be shared by two states, so that must never change.
    private static void RequirePlain(Type type)
    {
        if (type.IsPrimitive || type.IsEnum || type == typeof(ReadOnlyMemory<byte>))
            return;
        foreach (var field in type.GetFields(Own))
        {
            if (field.FieldType.IsValueType && field.FieldType != type)
                RequirePlain(field.FieldType);
            else if (!field.FieldType.IsValueType && !IsShared(field.FieldType))
                throw new NotSupportedException(
                    $"{type.Name}.{field.Name} is a {field.FieldType.Name} within a struct: bring tests/RaftKit.Exhaustive up to date.");
        }
    }

    // Never changed once made.
    private static bool IsShared(Type type) =>
        type == typeof(string) || type == typeof(RaftCoreOptions) || type == typeof(Membership) || type == typeof(PersistRequest)
            || type == typeof(SnapshotMark)
        || typeof(Message).IsAssignableFrom(type) || typeof(IEntryReader).IsAssignableFrom(type);

    /// <param name="Number">Tells its type.</param>
    /// <param name="All">Its fields, in a fixed order.</param>
    /// <param name="Owned">Those that are to be copied deeply.</param>
    private sealed record Shape(long Number, FieldInfo[] All, FieldInfo[] Owned);
}
